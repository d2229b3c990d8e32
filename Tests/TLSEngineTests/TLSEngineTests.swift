// TLSEngineTests: to come.
