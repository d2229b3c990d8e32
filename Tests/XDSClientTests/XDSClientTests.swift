// The tests of XDSClient.
