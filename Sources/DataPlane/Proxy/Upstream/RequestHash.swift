import HTTPModel
import MeshPrimitives
import Telemetry
import TrafficPolicy

/// What places a request in a cluster that hashes: the same number as Envoy's, from the same parts of the request.
extension Worker {
    /// Fields of one name that count towards a hash; more are left out.
    private static var valuesMax: Int { 16 }

    /// nil: nothing that the route names is there. Computed once for a request.
    mutating func requestHash(_ exchange: ExchangePlace) -> UInt64? {
        if exchange.value.isHashed { return exchange.value.hash }
        exchange.value.isHashed = true
        guard exchange.value.hasRoute else { return nil }
        let policies = exchange.route.hashing
        var hash: UInt64?
        for index in policies.indices {
            if let new = part(policies[index], index, exchange) {
                // Rotated, so that a policy that stands there twice does not cancel itself out.
                hash = hash.map { ($0 << 1 | $0 >> 63) ^ new } ?? new
            }
            if policies[index].isTerminal, hash != nil { break }
        }
        exchange.value.hash = hash
        return hash
    }

    private mutating func part(_ policy: HashPolicyRecord, _ index: Int, _ exchange: ExchangePlace)
        -> UInt64?
    {
        let bytes = exchange.value.headBytes.view
        switch policy.source {
        case .header: return headerHash(policy, exchange)
        case .path: return StableHash.xxHash64(bytes[exchange.head.path.range])
        case .authority: return StableHash.xxHash64(bytes[exchange.head.authority.range])
        case .method: return StableHash.xxHash64(bytes[exchange.head.methodToken.range])
        case .cookie:
            if let value = Self.cookie(policy.name, exchange), !value.isEmpty {
                return StableHash.xxHash64(value)
            }
            guard policy.makesCookie, index < 32 else { return nil }
            exchange.value.madeCookies |= 1 << UInt32(index)
            return cookieValue(exchange).withByteView { StableHash.xxHash64($0) }
        case .sourceAddress:
            let address = exchange.value.record.downstreamRemote ?? exchange.value.downstream.value.peer
            scratch.removeAll()
            address.appendHost(to: &scratch)
            return StableHash.xxHash64(scratch.view)
        case .queryParameter:
            return QueryMatchRecord.value(of: policy.name, in: bytes[exchange.head.path.range]).map {
                StableHash.xxHash64($0)
            }
        }
    }

    private mutating func headerHash(_ policy: HashPolicyRecord, _ exchange: ExchangePlace) -> UInt64? {
        let bytes = exchange.value.headBytes.view
        if policy.known != .other, policy.rewrite == nil, let only = onlyValue(policy.known, exchange) {
            return StableHash.xxHash64(only)
        }
        var values = InlineArray<16, ByteView>(repeating: ByteView(""))
        var count = 0
        scratch.removeAll()
        for index in 0..<exchange.head.count {
            let field = exchange.head.field(index)
            guard
                policy.known == .other
                    ? exchange.head.name(index, in: bytes).equalsIgnoringCase(policy.name)
                    : field.name == policy.known
            else { continue }
            var value = exchange.head.value(index, in: bytes)
            if let rewrite = policy.rewrite {
                let start = scratch.count
                let isDone = rewrite.regex.with {
                    $0.replace(in: value, with: rewrite.substitution, to: &scratch)
                }
                if isDone { value = scratch.view.dropFirst(start) }
            }
            // In the order of their bytes, whatever the order in which they came.
            var place = count
            while place > 0, Self.precedes(value, values[place - 1]) {
                values[place] = values[place - 1]
                place -= 1
            }
            values[place] = value
            count += 1
            if count == Self.valuesMax { break }
        }
        if count == 0 { return nil }
        var hash: UInt64 = 0
        for index in 0..<count { hash = StableHash.xxHash64(values[index], seed: hash) }
        return hash
    }

    /// Of the field of that name, if there is just one.
    private func onlyValue(_ name: FieldName, _ exchange: ExchangePlace) -> ByteView? {
        guard exchange.head.contains(name) else { return nil }
        var found: Int?
        for index in 0..<exchange.head.count where exchange.head.field(index).name == name {
            if found != nil { return nil }
            found = index
        }
        return found.map { exchange.head.value($0, in: exchange.value.headBytes.view) }
    }

    private static func precedes(_ left: ByteView, _ right: ByteView) -> Bool {
        for index in 0..<min(left.count, right.count) where left[index] != right[index] {
            return left[index] < right[index]
        }
        return left.count < right.count
    }

    /// The value of the first cookie of that name, without quotes around it.
    private static func cookie(_ name: ByteView, _ exchange: ExchangePlace) -> ByteView? {
        let bytes = exchange.value.headBytes.view
        for index in 0..<exchange.head.count where exchange.head.field(index).name == .cookie {
            var rest = exchange.head.value(index, in: bytes)
            while !rest.isEmpty {
                var pair = rest.prefix(rest.firstIndex(of: UInt8(ascii: ";")) ?? rest.count)
                rest = rest.dropFirst(pair.count + 1)
                while !pair.isEmpty, pair[0] == UInt8(ascii: " ") { pair = pair.dropFirst(1) }
                guard let split = pair.firstIndex(of: UInt8(ascii: "=")), pair.prefix(split).equals(name)
                else { continue }
                let value = pair.dropFirst(split + 1)
                let quote = UInt8(ascii: "\"")
                if value.count >= 2, value[0] == quote, value[value.count - 1] == quote {
                    return value.dropFirst(1).prefix(value.count - 2)
                }
                return value
            }
        }
        return nil
    }

    /// Of a cookie that is made: the same for all requests of a connection, so that those that race get the same one.
    private func cookieValue(_ exchange: ExchangePlace) -> String {
        let connection = exchange.value.downstream.value
        let ends = "\(connection.peer)\(connection.local)"
        let hash = ends.withByteView { StableHash.xxHash64($0) }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The caller gets the cookies that it was placed by.
    mutating func addMadeCookies(_ exchange: ExchangePlace) {
        let value = cookieValue(exchange)
        let policies = exchange.route.hashing
        for index in policies.indices where exchange.value.madeCookies & 1 << UInt32(index) != 0 {
            let start = scratch.count
            _ = scratch.append(policies[index].name)
            _ = scratch.append(ByteView("=\""))
            _ = value.withByteView { scratch.append($0) }
            _ = scratch.append(ByteView("\""))
            _ = scratch.append(policies[index].cookieTail)
            edits.add(.setCookie, scratch.view.dropFirst(start))
        }
    }
}
