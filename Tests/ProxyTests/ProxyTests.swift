// ProxyTests: to come.
