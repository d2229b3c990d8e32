import HTTPModel
import MeshPrimitives

/// A request to one of the proxy's own pages, its target taken apart.
public struct AdminRequest: Sendable {
    public struct Parameter: Sendable, Equatable {
        public let name: String
        public let value: String
    }

    /// A HEAD counts as a GET: the server leaves the body out.
    public let method: Method
    /// Without the query, percent-decoded.
    public let path: String
    /// In their order, percent-decoded. A name without "=" has an empty value.
    public let query: [Parameter]

    /// nil if the percent-encoding is broken (RFC 3986 section 2.1) or decodes to something that is not UTF-8.
    public init?(method: Method, target: String) {
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        guard let path = Self.decoded(parts.first ?? "/") else { return nil }
        var query: [Parameter] = []
        for pair in (parts.count > 1 ? parts[1] : "").split(separator: "&") {
            let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = Self.decoded(sides[0]), let value = Self.decoded(sides.count > 1 ? sides[1] : "")
            else { return nil }
            query.append(Parameter(name: name, value: value))
        }
        self.method = method == .head ? .get : method
        self.path = path
        self.query = query
    }

    public func has(_ name: String) -> Bool { query.contains { $0.name == name } }

    /// The first value of that name.
    public func value(_ name: String) -> String? { query.first { $0.name == name }?.value }

    private static func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let first = rest.first {
            guard let byte = first == UInt8(ascii: "%") ? percentDecoded(rest, at: rest.startIndex) : first
            else {
                return nil
            }
            bytes.append(byte)
            rest.removeFirst(first == UInt8(ascii: "%") ? 3 : 1)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

/// What a page says.
public struct AdminAnswer {
    public enum Body {
        case bytes([UInt8])
        /// Called for the next part whenever the reader has taken the last one, until it gives nil. An empty part is
        /// passed over.
        case parts(() -> [UInt8]?)
    }

    public var status: UInt16
    public var contentType: StaticString
    public var body: Body
    /// The one method that the page has, for 405.
    public var allowed: StaticString?
    /// Done when the answer has been written, or cannot be.
    public var afterwards: (() -> Void)?

    public init(_ status: UInt16 = 200, type: StaticString, _ body: Body) {
        (self.status, contentType, self.body) = (status, type, body)
    }

    public static func text(_ text: String, status: UInt16 = 200) -> AdminAnswer {
        AdminAnswer(status, type: "text/plain; charset=UTF-8", .bytes(Array(text.utf8)))
    }

    public static func json(_ bytes: [UInt8], status: UInt16 = 200) -> AdminAnswer {
        AdminAnswer(status, type: "application/json", .bytes(bytes))
    }

    public static func json(parts: @escaping () -> [UInt8]?) -> AdminAnswer {
        AdminAnswer(type: "application/json", .parts(parts))
    }
}
