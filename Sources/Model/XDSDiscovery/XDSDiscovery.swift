// XDSDiscovery: from the messages of the configuration API to the values of MeshModel. `ResourceCompiler`
// checks one resource and says what is wrong with it by place and path; `ADSClient` is the other side of a
// discovery stream: a machine that is told of streams, responses and time, and answers with requests and the
// configuration that is in force. Sockets, gRPC and files are left to the caller.
