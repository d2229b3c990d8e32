// DiscoveryServer: to come.
