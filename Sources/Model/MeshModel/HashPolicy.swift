/// What a request is placed by, for clusters that hash (envoy.config.route.v3.RouteAction.HashPolicy).
public struct HashPolicy: Sendable, Equatable {
    public enum Source: Sendable, Equatable {
        /// Lower case. All its values count, after the rewrite.
        case header(String, rewrite: Rewrite?)
        case cookie(Cookie)
        case sourceAddress
        /// The first value.
        case queryParameter(String)
    }

    public struct Rewrite: Sendable, Equatable {
        public var pattern: String
        public var substitution: String

        public init(pattern: String, substitution: String) {
            (self.pattern, self.substitution) = (pattern, substitution)
        }
    }

    public struct Cookie: Sendable, Equatable {
        public var name: String
        /// A caller without the cookie is given one, for so long; zero: until it forgets it. nil: it is given none.
        public var lifetime: Duration?
        public var path: String
        /// In order, written behind the others: `; NAME=VALUE`, or `; NAME` where the value is empty.
        public var attributes: [Attribute] = []

        public init(name: String, lifetime: Duration? = nil, path: String = "") {
            (self.name, self.lifetime, self.path) = (name, lifetime, path)
        }
    }

    public struct Attribute: Sendable, Equatable {
        public var name: String
        public var value: String

        public init(name: String, value: String) { (self.name, self.value) = (name, value) }
    }

    public var source: Source
    /// If there is a hash after this one, those behind it are not looked at.
    public var isTerminal: Bool

    public init(_ source: Source, isTerminal: Bool = false) {
        (self.source, self.isTerminal) = (source, isTerminal)
    }
}
