// ProxyAdminTests: to come.
