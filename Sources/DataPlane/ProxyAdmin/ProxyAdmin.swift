// ProxyAdmin: to come.
