// XDSMessages: the messages of the xDS protocol as the control plane writes and reads them: SwiftProtobuf structures,
// generated from Sources/Model/XDSSchema/Protos (`make protos`), which hold only the fields that Martlet's proxy
// carries out. What a message means, and which of them a proxy gets, is decided elsewhere.

@_exported import SwiftProtobuf
