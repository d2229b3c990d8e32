// TLSEngineTests: clients and servers that talk to each other in memory, at a time that the test chooses. The
// certificates are made here, by the same library; what a foreign implementation thinks of us is for the
// system tests.
