import HTTPModel
import MeshPrimitives
import TrafficPolicy

/// Which requests an access log wants: the configuration's tree.
public indirect enum AccessLogFilterTree: Equatable, Sendable {
    public enum Comparison: UInt8, Sendable, BitwiseCopyable {
        case equal, greaterOrEqual, lessOrEqual, notEqual
    }

    case statusCode(Comparison, UInt32)
    /// The whole duration, in milliseconds.
    case duration(Comparison, UInt32)
    case notHealthCheck
    case header(FieldMatch)
    /// Any of these; empty: any flag at all.
    case responseFlags(ResponseFlags)
    case fraction(FractionalPercent)
    case and([AccessLogFilterTree])
    case or([AccessLogFilterTree])
}

/// A condition on a request's header field. A field that is absent meets no condition on its value, not even an
/// inverted one.
public struct FieldMatch: Equatable, Sendable {
    public enum Test: UInt8, Sendable, BitwiseCopyable {
        case present, absent, exact, prefix, suffix, contains
    }

    public var name: String
    public var test: Test
    public var value: String
    public var ignoresCase: Bool
    public var isInverted: Bool

    public init(
        name: String, _ test: Test, _ value: String = "", ignoresCase: Bool = false, isInverted: Bool = false
    ) {
        (self.name, self.test, self.value) = (name, test, value)
        (self.ignoresCase, self.isInverted) = (ignoresCase, isInverted)
    }
}

/// An access log's filter, compiled to a flat list of conditions.
public final class AccessLogFilter: Sendable {
    private enum Kind: UInt8, BitwiseCopyable {
        case statusCode, duration, notHealthCheck, header, flags, fraction, and, or
    }

    private struct Node: Sendable, BitwiseCopyable {
        var kind: Kind
        var comparison = AccessLogFilterTree.Comparison.equal
        var number: UInt32 = 0
        var fraction = FractionalPercent.never
        var field: Int32 = 0
        /// The node behind this one's children.
        var end: Int32 = 0
    }

    private struct Field: Sendable, BitwiseCopyable {
        var name: FormatField
        var test: FieldMatch.Test
        var start, count: Int32
        var ignoresCase, isInverted: Bool
    }

    private let nodes: [Node]
    private let fields: [Field]
    private let bytes: StableBytes

    public init(_ tree: AccessLogFilterTree) {
        var nodes: [Node] = []
        var fields: [Field] = []
        var bytes: [UInt8] = []
        Self.add(tree, to: &nodes, &fields, &bytes)
        (self.nodes, self.fields) = (nodes, fields)
        self.bytes = StableBytes(bytes)
    }

    /// `requestHead.length` is 0 if there was no request.
    public func wants(
        _ record: borrowing ExchangeRecord, request: borrowing @_addressable MessageHead,
        _ requestBytes: ByteView,
        random: inout SeededRandom
    ) -> Bool {
        evaluate(0, record, request, requestBytes, &random)
    }

    private func evaluate(
        _ index: Int, _ record: borrowing ExchangeRecord, _ request: borrowing @_addressable MessageHead,
        _ requestBytes: ByteView, _ random: inout SeededRandom
    ) -> Bool {
        let node = nodes[index]
        switch node.kind {
        case .statusCode: return Self.compare(UInt64(record.status), node)
        case .duration: return Self.compare(UInt64(max(0, record.ended) / 1_000_000), node)
        case .notHealthCheck: return !record.isHealthCheck
        case .flags: return record.flags.rawValue & node.number != 0
        case .fraction: return node.fraction.draw(&random)
        case .header: return matches(fields[Int(node.field)], request, requestBytes)
        case .and, .or:
            var child = index + 1
            while child < Int(node.end) {
                let isMet = evaluate(child, record, request, requestBytes, &random)
                if isMet == (node.kind == .or) { return isMet }
                child = Int(nodes[child].end)
            }
            return node.kind == .and
        }
    }

    private static func compare(_ value: UInt64, _ node: Node) -> Bool {
        switch node.comparison {
        case .equal: value == UInt64(node.number)
        case .greaterOrEqual: value >= UInt64(node.number)
        case .lessOrEqual: value <= UInt64(node.number)
        case .notEqual: value != UInt64(node.number)
        }
    }

    private func matches(_ field: Field, _ head: borrowing @_addressable MessageHead, _ headBytes: ByteView)
        -> Bool
    {
        guard let value = value(of: field.name, head, headBytes) else {
            switch field.test {
            case .present: return field.isInverted
            case .absent: return !field.isInverted
            case .exact, .prefix, .suffix, .contains: return false
            }
        }
        let wanted = bytes.view[Int(field.start)..<Int(field.start + field.count)]
        let isMet =
            switch field.test {
            case .present: true
            case .absent: false
            case .exact: Self.equal(value, wanted, field)
            case .prefix: value.count >= wanted.count && Self.equal(value.prefix(wanted.count), wanted, field)
            case .suffix:
                value.count >= wanted.count
                    && Self.equal(value.dropFirst(value.count - wanted.count), wanted, field)
            case .contains: Self.contains(value, wanted, field)
            }
        return isMet != field.isInverted
    }

    private func value(
        of name: FormatField, _ head: borrowing @_addressable MessageHead, _ headBytes: ByteView
    ) -> ByteView? {
        guard head.length > 0 else { return nil }
        switch name.pseudo {
        case .method: return headBytes[head.methodToken.range]
        case .path: return headBytes[head.path.range]
        case .authority: return head.authority.isEmpty ? nil : headBytes[head.authority.range]
        case .scheme, .status: return nil
        case .none:
            if name.known != .other { return head.value(of: name.known, in: headBytes) }
            return head.value(
                named: bytes.view[Int(name.start)..<Int(name.start + name.count)], in: headBytes)
        }
    }

    private static func equal(_ value: ByteView, _ wanted: ByteView, _ field: Field) -> Bool {
        field.ignoresCase ? value.equalsIgnoringCase(wanted) : value.equals(wanted)
    }

    private static func contains(_ value: ByteView, _ wanted: ByteView, _ field: Field) -> Bool {
        guard value.count >= wanted.count else { return false }
        for start in 0...(value.count - wanted.count)
        where equal(value[start..<(start + wanted.count)], wanted, field) { return true }
        return false
    }

    private static func add(
        _ tree: AccessLogFilterTree, to nodes: inout [Node], _ fields: inout [Field], _ bytes: inout [UInt8]
    ) {
        let place = nodes.count
        var node: Node
        switch tree {
        case .statusCode(let comparison, let value):
            node = Node(kind: .statusCode, comparison: comparison, number: value)
        case .duration(let comparison, let value):
            node = Node(kind: .duration, comparison: comparison, number: value)
        case .notHealthCheck: node = Node(kind: .notHealthCheck)
        case .responseFlags(let flags):
            node = Node(kind: .flags, number: flags.isEmpty ? .max : flags.rawValue)
        case .fraction(let fraction): node = Node(kind: .fraction, fraction: fraction)
        case .header(let match):
            node = Node(kind: .header, field: Int32(fields.count))
            let name = FormatField(match.name, in: &bytes)
            fields.append(
                Field(
                    name: name, test: match.test, start: Int32(bytes.count),
                    count: Int32(match.value.utf8.count),
                    ignoresCase: match.ignoresCase, isInverted: match.isInverted))
            bytes += match.value.utf8
        case .and, .or:
            node = Node(kind: .and)
        }
        nodes.append(node)
        switch tree {
        case .and(let children), .or(let children):
            if case .or = tree { nodes[place].kind = .or }
            for child in children { add(child, to: &nodes, &fields, &bytes) }
        case .statusCode, .duration, .notHealthCheck, .responseFlags, .fraction, .header:
            break
        }
        nodes[place].end = Int32(nodes.count)
    }
}
