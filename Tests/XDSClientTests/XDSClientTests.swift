// XDSClientTests: to come.
