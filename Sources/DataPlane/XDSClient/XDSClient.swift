// XDSClient: to come.
