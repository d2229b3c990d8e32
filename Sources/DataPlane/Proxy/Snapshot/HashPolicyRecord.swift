import HTTPModel
import MeshModel
import MeshPrimitives

/// What a request is placed by, compiled.
struct HashPolicyRecord: BitwiseCopyable {
    enum Source: UInt8, BitwiseCopyable {
        case header, path, authority, method, cookie, sourceAddress, queryParameter
    }

    var source: Source
    var isTerminal: Bool
    var name = ByteView("")
    var known = FieldName.other
    var rewrite: RewriteRecord?
    /// A caller without the cookie is given one.
    var makesCookie = false
    /// What stands behind the cookie's value.
    var cookieTail = ByteView("")
}

extension SnapshotCompiler {
    mutating func compile(_ policies: [HashPolicy], _ place: String) throws(CompileError)
        -> Table<HashPolicyRecord>
    {
        var records: [HashPolicyRecord] = []
        for policy in policies { records.append(try compile(policy, place)) }
        return arena.store(records)
    }

    private mutating func compile(_ policy: HashPolicy, _ place: String) throws(CompileError)
        -> HashPolicyRecord
    {
        var record = HashPolicyRecord(source: .sourceAddress, isTerminal: policy.isTerminal)
        switch policy.source {
        case .sourceAddress: break
        case .queryParameter(let name):
            (record.source, record.name) = (.queryParameter, arena.store(text: name))
        case .cookie(let cookie):
            (record.source, record.name) = (.cookie, arena.store(text: cookie.name))
            record.makesCookie = cookie.lifetime != nil
            var tail = ""
            if let lifetime = cookie.lifetime, lifetime.components.seconds > 0 {
                tail += "; Max-Age=\(lifetime.components.seconds)"
            }
            if !cookie.path.isEmpty { tail += "; Path=\(cookie.path)" }
            for attribute in cookie.attributes {
                tail += "; \(attribute.name)" + (attribute.value.isEmpty ? "" : "=\(attribute.value)")
            }
            record.cookieTail = arena.store(text: tail + "; HttpOnly")
        case .header(let name, let rewrite):
            record.source =
                switch name {
                case ":path": .path
                case ":authority", "host": .authority
                case ":method": .method
                default: .header
                }
            record.name = arena.store(text: name)
            record.known = FieldName(record.name)
            if let rewrite {
                record.rewrite = RewriteRecord(
                    regex: try expression(rewrite.pattern, place),
                    substitution: arena.store(text: rewrite.substitution))
            }
        }
        return record
    }
}
