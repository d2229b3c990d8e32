// XDSSchema: the messages of the configuration API as data. One table, generated from our .proto files,
// drives the reading of binary protobuf, JSON and YAML into `ConfigMessage`, the checks that the API
// declares, and the writing of binary and JSON. Every field of a message is in the table, whether Martlet
// carries it out or not, so that a refusal has a name. What a configuration means is left to XDSDiscovery.
