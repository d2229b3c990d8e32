// XDSDiscovery: to come.
