/// Something wrong with a configuration: where it stands, what it is, and what to do.
public struct ConfigProblem: Error, Equatable, Sendable, CustomStringConvertible {
    /// Empty for what came over the wire.
    public var file: String
    /// Both from 1; 0 where nothing is known.
    public var line: Int
    public var column: Int
    /// `static_resources.clusters[2].name`; empty for the whole.
    public var path: String
    public var text: String

    public init(file: String = "", line: Int = 0, column: Int = 0, path: String, text: String) {
        (self.file, self.line, self.column, self.path, self.text) = (file, line, column, path, text)
    }

    public var description: String {
        var parts: [String] = []
        if !file.isEmpty { parts.append(line > 0 ? "\(file):\(line):\(column)" : file) }
        if !path.isEmpty { parts.append(path) }
        parts.append(text)
        return parts.joined(separator: ": ")
    }
}

/// Where a value stands in one of the texts that a configuration was read from.
public struct TextPosition: Sendable, Hashable {
    public var line: UInt32 = 0
    public var column: UInt16 = 0
    /// Index into `ConfigProblems.sources`.
    public var source: UInt16 = 0

    public init(line: Int = 0, column: Int = 0, source: Int = 0) {
        self.line = UInt32(clamping: line)
        self.column = UInt16(clamping: column)
        self.source = UInt16(clamping: source)
    }
}

/// What was found so far, at most `countMax`; the rest is counted.
public struct ConfigProblems: Sendable {
    public private(set) var list: [ConfigProblem] = []
    public private(set) var omitted = 0
    /// Names of the texts read so far; 0 is the wire.
    public private(set) var sources = [""]
    private let countMax: Int

    public init(countMax: Int = 100) { self.countMax = countMax }

    public var isEmpty: Bool { list.isEmpty }
    /// Those that are not listed included.
    public var count: Int { list.count + omitted }

    public mutating func addSource(_ name: String) -> Int {
        sources.append(name)
        return sources.count - 1
    }

    public mutating func add(_ text: String, path: String, at position: TextPosition = TextPosition()) {
        let source = Int(position.source)
        add(
            ConfigProblem(
                file: source < sources.count ? sources[source] : "", line: Int(position.line),
                column: Int(position.column), path: path, text: text))
    }

    public mutating func add(_ problem: ConfigProblem) {
        if list.count < countMax { list.append(problem) } else { omitted += 1 }
    }
}

/// The way from the root to a value, while it is walked.
struct PathStack {
    enum Step {
        case field(FieldDescriptor)
        case number(MessageType, FieldNumber)
        case index(Int)
        case key(String)
    }

    let root: String
    private(set) var steps: [Step] = []

    init(root: String) { self.root = root }

    var depth: Int { steps.count }

    mutating func push(_ step: Step) { steps.append(step) }
    mutating func pop() { steps.removeLast() }

    func text(adding last: String = "") -> String {
        var text = root
        for step in steps {
            switch step {
            case .field(let field): text += (text.isEmpty ? "" : ".") + field.name
            case .number(let type, let number): text += (text.isEmpty ? "" : ".") + type.fieldName(number)
            case .index(let index): text += "[\(index)]"
            case .key(let key): text += "[\"\(key.clipped)\"]"
            }
        }
        if !last.isEmpty { text += (text.isEmpty ? "" : ".") + last.clipped }
        return text
    }
}

extension String {
    /// At most 80 characters, for messages.
    var clipped: String { count <= 80 ? self : prefix(77) + "..." }
}

/// The known name that is nearest to a wrong one, if any is near.
public enum NearestName {
    public static func of(_ wrong: String, among known: [String]) -> String? {
        guard wrong.utf8.count <= 64 else { return nil }
        let limit = max(1, wrong.utf8.count / 3)
        var best: (name: String, distance: Int)?
        for name in known {
            guard abs(name.utf8.count - wrong.utf8.count) <= limit else { continue }
            let found = distance(Array(wrong.utf8), Array(name.utf8))
            if found <= limit, found < (best?.distance ?? Int.max) { best = (name, found) }
        }
        return best?.name
    }

    /// Insertions, deletions and replacements between two names.
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var row = Array(0...right.count)
        for (i, a) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in right.enumerated() {
                let replaced = diagonal + (a == b ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(replaced, row[j] + 1, row[j + 1] + 1)
            }
        }
        return row[right.count]
    }
}
