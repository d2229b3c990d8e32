/// Where a value stands: lines and columns count from 1, as editors do.
public struct ConfigLocation: Sendable, Hashable, Codable {
    public let file: String
    public let line: Int
    public let column: Int

    public init(file: String, line: Int, column: Int) {
        (self.file, self.line, self.column) = (file, line, column)
    }
}

/// One thing that is wrong in what an operator wrote, in one line:
/// `FILE:LINE:COLUMN: path.to.field: what is wrong; what to do`.
public struct ConfigError: Error, Sendable, Hashable, CustomStringConvertible {
    public let location: ConfigLocation
    /// Path from the root of the document (`spec.ports[0].port`); empty for the document as a whole.
    public let path: String
    public let problem: String
    public let remedy: String

    public init(_ location: ConfigLocation, path: String, problem: String, remedy: String) {
        (self.location, self.path, self.problem, self.remedy) = (location, path, problem, remedy)
    }

    public var description: String {
        let place = "\(location.file):\(location.line):\(location.column)"
        return "\(place): \(path.isEmpty ? "document" : path): \(problem); \(remedy)"
    }
}

/// Everything that is wrong in one set of files, ordered by file and line. Never empty.
public struct ConfigErrors: Error, Sendable, Equatable, CustomStringConvertible {
    /// More errors than this are not reported: the first ones are what an operator repairs first.
    public static let countMax = 100

    public let errors: [ConfigError]

    init(_ errors: [ConfigError]) {
        let ordered = errors.enumerated().sorted { left, right in
            let (a, b) = (left.element.location, right.element.location)
            return (a.file, a.line, a.column, left.offset) < (b.file, b.line, b.column, right.offset)
        }
        self.errors = ordered.prefix(Self.countMax).map(\.element)
    }

    public var description: String { errors.map(\.description).joined(separator: "\n") }
}
