import HTTPModel
import MeshPrimitives
import RegularExpressions

/// What a request is matched by, beside its head.
struct RouteQuestion: BitwiseCopyable {
    var bytes: ByteView
    /// The caller's scheme is https; asked for only where the table `needsScheme`.
    var isHTTPS: Bool
    /// One random number decides every share of one request, as in Envoy: fractions of routes and weights of clusters.
    var chance: UInt64
}

/// One test of a value, compiled. What it matches by is in the snapshot's arena.
struct TextMatchRecord: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable { case exact, prefix, suffix, contains, regex }

    var kind = Kind.exact
    var ignoresCase = false
    var text = ByteView("")
    /// There for `regex`.
    var regex: Unowned<RegularExpression>?

    func matches(_ found: ByteView) -> Bool {
        switch kind {
        case .exact: return same(found)
        case .prefix: return same(found.prefix(text.count))
        case .suffix: return same(found.dropFirst(max(found.count - text.count, 0)))
        case .contains:
            guard found.count >= text.count else { return false }
            for start in 0...(found.count - text.count) where same(found[start..<(start + text.count)]) {
                return true
            }
            return false
        case .regex: return regex.map { $0.with { $0.matches(found) } } ?? false
        }
    }

    private func same(_ part: ByteView) -> Bool {
        ignoresCase ? part.equalsIgnoringCase(text) : part.equals(text)
    }
}

struct HeaderMatchRecord: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable { case present, absent, text, range }
    enum Subject: UInt8, BitwiseCopyable { case field, method, path, authority, scheme }

    var name: ByteView
    var known = FieldName.other
    var subject = Subject.field
    var kind = Kind.present
    var text = TextMatchRecord()
    var low: Int64 = 0
    var high: Int64 = 0
    var isInverted = false
    var treatsMissingAsEmpty = false

    func matches(_ head: borrowing @_addressable MessageHead, _ question: RouteQuestion) -> Bool {
        let bytes = question.bytes
        switch subject {
        case .field: return matchesField(head, bytes)
        case .method: return decide(bytes[head.methodToken.range])
        case .path: return decide(bytes[head.path.range])
        case .authority: return decide(bytes[head.authority.range])
        case .scheme: return decide(ByteView(question.isHTTPS ? "https" : "http"))
        }
    }

    private func decide(_ value: ByteView) -> Bool {
        switch kind {
        case .present: !isInverted
        case .absent: isInverted
        case .text, .range: test(value) != isInverted
        }
    }

    /// Of several fields of the name it is enough that one passes. A missing one passes no test of its value, not even an
    /// inverted one.
    private func matchesField(_ head: borrowing @_addressable MessageHead, _ bytes: ByteView) -> Bool {
        var index = next(in: head, bytes, from: 0)
        if kind == .present || kind == .absent {
            return ((index != nil || treatsMissingAsEmpty) == (kind == .present)) != isInverted
        }
        guard index != nil else { return treatsMissingAsEmpty && test(ByteView("")) != isInverted }
        while let found = index {
            if test(head.value(found, in: bytes)) { return !isInverted }
            index = next(in: head, bytes, from: found + 1)
        }
        return isInverted
    }

    private func next(
        in head: borrowing @_addressable MessageHead, _ bytes: ByteView, from start: Int
    ) -> Int? {
        if known != .other { return head.firstIndex(of: known, from: start) }
        for index in start..<max(head.count, start) where head.field(index).name == .other {
            if head.name(index, in: bytes).equalsIgnoringCase(name) { return index }
        }
        return nil
    }

    private func test(_ found: ByteView) -> Bool {
        guard kind == .range else { return text.matches(found) }
        let isNegative = !found.isEmpty && found[0] == UInt8(ascii: "-")
        let isSigned = isNegative || (!found.isEmpty && found[0] == UInt8(ascii: "+"))
        guard let magnitude = (isSigned ? found.dropFirst(1) : found).decimal else { return false }
        let number = Int64(isNegative ? -magnitude : magnitude)
        return number >= low && number < high
    }
}

struct QueryMatchRecord: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable { case present, absent, text }

    var name: ByteView
    var kind = Kind.present
    var text = TextMatchRecord()

    /// The first parameter of that name, as it stands there.
    static func value(of name: ByteView, in target: ByteView) -> ByteView? {
        guard let mark = target.firstIndex(of: UInt8(ascii: "?")) else { return nil }
        var rest = target.dropFirst(mark + 1)
        while !rest.isEmpty {
            let pair = rest.prefix(rest.firstIndex(of: UInt8(ascii: "&")) ?? rest.count)
            let split = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.count
            if pair.prefix(split).equals(name) { return pair.dropFirst(split + 1) }
            rest = rest.dropFirst(pair.count + 1)
        }
        return nil
    }

    /// `target` is path and query. The first parameter of that name counts, as it stands there.
    func matches(_ target: ByteView) -> Bool {
        let found = Self.value(of: name, in: target)
        switch kind {
        case .present: return found != nil
        case .absent: return found == nil
        case .text: return found.map { text.matches($0) } ?? false
        }
    }
}

extension RouteRecord {
    /// Everything of its match but what the tree of paths has settled. `path` is without the query.
    @_addressableSelf func matches(
        _ head: borrowing @_addressable MessageHead, path: ByteView, _ question: RouteQuestion
    ) -> Bool {
        if let pathRegex, !pathRegex.with({ $0.matches(path) }) { return false }
        if isGRPC, !Self.isGRPC(head, question.bytes) { return false }
        if fractionNumerator < fractionDenominator,
            question.chance % UInt64(fractionDenominator) >= UInt64(fractionNumerator)
        {
            return false
        }
        for index in headers.indices where !headers[index].matches(head, question) { return false }
        for index in query.indices where !query[index].matches(question.bytes[head.path.range]) {
            return false
        }
        return true
    }

    /// `application/grpc`, or with a `+` behind it.
    static func isGRPC(_ head: borrowing @_addressable MessageHead, _ bytes: ByteView) -> Bool {
        guard let type = head.value(of: .contentType, in: bytes), type.hasPrefix("application/grpc") else {
            return false
        }
        return type.count == 16 || type[16] == UInt8(ascii: "+")
    }
}
