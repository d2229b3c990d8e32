// XDSDiscoveryTests: to come.
