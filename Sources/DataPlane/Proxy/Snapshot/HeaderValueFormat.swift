import HTTPModel
import MeshPrimitives
import Telemetry

/// The value of a field that the configuration adds, compiled. An operator that asks for a field of the request or of the
/// answer is answered from the heads as they are at that moment, changes made so far included; all others are those of
/// access logs.
struct HeaderValueFormat: BitwiseCopyable {
    enum Part: BitwiseCopyable {
        case literal(ByteView)
        case field(Asked)
        /// Kept alive by the snapshot.
        case operation(Unowned<AccessLogFormat>)
    }

    /// `%REQ(NAME?OTHER):LENGTH%`, and the same with `RESP`.
    struct Asked: BitwiseCopyable {
        enum Subject: UInt8, BitwiseCopyable { case field, method, path, authority, scheme, status }
        struct Name: BitwiseCopyable {
            /// Lower case.
            let text: ByteView
            let known: FieldName
            let subject: Subject

            init(_ name: Substring, _ arena: Arena) {
                text = arena.store(text: name.lowercased())
                known = FieldName(text)
                subject =
                    switch name.lowercased() {
                    case ":method": .method
                    case ":path": .path
                    case ":authority", "host": .authority
                    case ":scheme": .scheme
                    case ":status": .status
                    default: .field
                    }
            }
        }

        let ofRequest: Bool
        /// Asked in order until one is there; one or two.
        let names: Table<Name>
        /// Bytes shown at the most.
        let lengthMax: Int
    }

    let parts: Table<Part>
    let readsRequest: Bool
    /// It may name the peer of a TLS connection.
    let needsPeer: Bool
    let needs: LogNeeds

    /// `operations` keeps what the parts refer to.
    init(_ text: String, in arena: Arena, operations: inout [AccessLogFormat]) throws(FormatError) {
        // Says what is wrong with it, so that the split below meets only what is right.
        needs = try AccessLogFormat(headerValue: text).needs
        var parts: [Part] = []
        var literal: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let first = rest.first {
            if first != UInt8(ascii: "%") || rest.dropFirst().first == UInt8(ascii: "%") {
                literal.append(first)
                rest = rest.dropFirst(first == UInt8(ascii: "%") ? 2 : 1)
                continue
            }
            if !literal.isEmpty { parts.append(.literal(arena.store(bytes: literal))) }
            literal = []
            let end = Self.end(ofOperatorIn: rest)
            let call = String(decoding: rest[..<end], as: UTF8.self)
            rest = rest[end...]
            if let asked = Self.asked(call, arena) {
                parts.append(.field(asked))
            } else {
                let operation = try AccessLogFormat(headerValue: call)
                operations.append(operation)
                parts.append(.operation(Unowned(operation)))
            }
        }
        if !literal.isEmpty { parts.append(.literal(arena.store(bytes: literal))) }
        self.parts = arena.store(parts)
        readsRequest = parts.contains { if case .field(let asked) = $0 { asked.ofRequest } else { false } }
        needsPeer = text.contains("_PEER_")
    }

    /// Behind the percent sign that closes the operator which `bytes` begins with. Arguments may hold some too.
    private static func end(ofOperatorIn bytes: ArraySlice<UInt8>) -> Int {
        let marks = [UInt8(ascii: "("), UInt8(ascii: "%")]
        guard var place = bytes.dropFirst().firstIndex(where: { marks.contains($0) }) else {
            return bytes.endIndex
        }
        if bytes[place] == UInt8(ascii: "(") {
            place = bytes[place...].firstIndex(of: UInt8(ascii: ")")) ?? bytes.endIndex
        }
        return bytes[place...].firstIndex(of: UInt8(ascii: "%")).map { $0 + 1 } ?? bytes.endIndex
    }

    private static func asked(_ call: String, _ arena: Arena) -> Asked? {
        guard call.hasPrefix("%REQ(") || call.hasPrefix("%RESP("), let open = call.firstIndex(of: "("),
            let close = call.firstIndex(of: ")")
        else { return nil }
        let names = call[call.index(after: open)..<close].split(separator: "?").map { Asked.Name($0, arena) }
        let length = call[close...].dropFirst(2).dropLast()
        return Asked(
            ofRequest: call.hasPrefix("%REQ("), names: arena.store(names), lengthMax: Int(length) ?? .max)
    }
}
