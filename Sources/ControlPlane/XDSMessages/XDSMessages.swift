// XDSMessages: to come.
