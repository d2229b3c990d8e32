/// Reads typed values out of one document and collects every error, so that an operator sees them all at once.
final class DocumentReader {
    let file: String
    private(set) var errors: [ConfigError] = []
    /// Where each field that was read stands, by path.
    private(set) var positions: [String: YAMLNode.Position] = [:]

    init(file: String) { self.file = file }

    func report(_ position: YAMLNode.Position, _ path: String, _ problem: String, _ remedy: String) {
        guard errors.count < ConfigErrors.countMax else { return }
        let location = ConfigLocation(file: file, line: position.line, column: position.column)
        errors.append(ConfigError(location, path: path, problem: problem, remedy: remedy))
    }

    /// Calls `body` with the mapping's fields, then reports the keys that nobody asked for.
    @discardableResult
    func mapping<Value>(_ node: YAMLNode, _ path: String, _ body: (Fields) -> Value?) -> Value? {
        positions[path] = node.position
        let entries: [YAMLNode.Entry]
        switch node.content {
        case .mapping(let found):
            entries = found
        case .scalar, .sequence:
            guard case .null = node.resolved else {
                report(
                    node.position, path, "must be a mapping, not \(node.kindInWords)",
                    "write 'key: value' lines")
                return nil
            }
            entries = []
        }
        let fields = Fields(reader: self, path: path, position: node.position, entries: entries)
        let value = body(fields)
        fields.reportUnknownKeys()
        return value
    }

    func list<Value>(
        _ node: YAMLNode, _ path: String, countMax: Int, _ element: (YAMLNode, String) -> Value?
    ) -> [Value]? {
        positions[path] = node.position
        guard case .sequence(let elements) = node.content else {
            report(
                node.position, path, "must be a list, not \(node.kindInWords)",
                "write '- ' before each element")
            return nil
        }
        guard elements.count <= countMax else {
            report(node.position, path, "has \(elements.count) elements, more than \(countMax)", "split it")
            return nil
        }
        return elements.enumerated().compactMap { element($0.element, "\(path)[\($0.offset)]") }
    }

    /// Text; a plain `no`, `1` or `null` is refused, because tools that follow YAML 1.1 would read something else.
    func string(_ node: YAMLNode, _ path: String) -> String? {
        positions[path] = node.position
        guard case .text(let text) = node.resolved else {
            var remedy = "write text"
            if case .scalar(let text, _) = node.content, node.resolved != .null {
                remedy = "write \"\(text.clipped)\""
            }
            report(node.position, path, "must be text, not \(node.kindInWords)", remedy)
            return nil
        }
        return text
    }

    func integer(_ node: YAMLNode, _ path: String, in range: ClosedRange<Int>) -> Int? {
        positions[path] = node.position
        guard case .integer(let number) = node.resolved else {
            report(
                node.position, path, "must be a whole number, not \(node.kindInWords)",
                "write a number from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        guard range.contains(number) else {
            report(
                node.position, path, "\(number) is out of range",
                "write a number from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return number
    }

    func boolean(_ node: YAMLNode, _ path: String) -> Bool? {
        positions[path] = node.position
        guard case .scalar("true", true) = node.content else {
            guard case .scalar("false", true) = node.content else {
                report(
                    node.position, path, "must be true or false, not \(node.kindInWords)",
                    "write true or false, without quotes")
                return nil
            }
            return false
        }
        return true
    }

    /// Text that a check accepts; the check answers what is wrong and what to do.
    func checked(_ node: YAMLNode, _ path: String, _ check: (String) -> Syntax.Fault?) -> String? {
        guard let text = string(node, path) else { return nil }
        guard let fault = check(text) else { return text }
        report(node.position, path, fault.problem, fault.remedy)
        return nil
    }

    func duration(_ node: YAMLNode, _ path: String, in range: ClosedRange<Duration>) -> Duration? {
        positions[path] = node.position
        guard case .scalar(let text, _) = node.content, let duration = Syntax.duration(text) else {
            report(
                node.position, path, "must be a duration, not \(node.kindInWords)",
                "write one such as 100ms, 5s or 1h30m")
            return nil
        }
        guard range.contains(duration) else {
            report(
                node.position, path, "\(text) is out of range",
                "write a duration from \(Syntax.text(range.lowerBound)) to \(Syntax.text(range.upperBound))")
            return nil
        }
        return duration
    }

    /// A ratio in percent, from 0 to 100.
    func percent(_ node: YAMLNode, _ path: String) -> Double? {
        positions[path] = node.position
        guard case .scalar(let text, _) = node.content, let percent = Syntax.percent(text) else {
            report(
                node.position, path, "must be a ratio, not \(node.kindInWords)",
                "write one from 0% to 100%, such as 20%")
            return nil
        }
        return percent
    }

    func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ node: YAMLNode, _ path: String, _: Choice.Type
    ) -> Choice? {
        positions[path] = node.position
        guard case .scalar(let text, _) = node.content else {
            report(
                node.position, path, "must be one word, not \(node.kindInWords)",
                "write one of the known values")
            return nil
        }
        if let choice = Choice(rawValue: text) { return choice }
        let names = Choice.allCases.map(\.rawValue)
        let hint = NearestName.among(names, to: text).map { "; did you mean '\($0)'?" } ?? ""
        report(
            node.position, path, "'\(text.clipped)' is not a value it can have",
            "write one of \(names.joined(separator: ", "))\(hint)")
        return nil
    }
}

/// The keys of one mapping. Each is asked for by name; what nobody asks for is an error.
final class Fields {
    let reader: DocumentReader
    let path: String
    let position: YAMLNode.Position
    private let entries: [YAMLNode.Entry]
    private var known: [String] = []

    init(reader: DocumentReader, path: String, position: YAMLNode.Position, entries: [YAMLNode.Entry]) {
        (self.reader, self.path, self.position, self.entries) = (reader, path, position, entries)
    }

    func path(of key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// The node under `key`; a key with an empty value counts as absent, unless it is required.
    func node(_ key: String, isRequired: Bool = false) -> YAMLNode? {
        known.append(key)
        let entry = entries.first { $0.key == key }
        if let entry, entry.value.resolved != .null { return entry.value }
        if isRequired {
            reader.report(
                entry?.keyPosition ?? position, path(of: key), entry == nil ? "is missing" : "is empty",
                "add '\(key)'")
        }
        return nil
    }

    func has(_ key: String) -> Bool { entries.contains { $0.key == key } }

    /// Reports a list that was written with nothing in it.
    func refuseEmpty(_ key: String, _ remedy: String) {
        guard case .sequence(let elements) = entries.first(where: { $0.key == key })?.value.content,
            elements.isEmpty
        else { return }
        report(key, "is empty", remedy)
    }

    func report(_ key: String, _ problem: String, _ remedy: String) {
        let entry = entries.first { $0.key == key }
        reader.report(entry?.value.position ?? position, path(of: key), problem, remedy)
    }

    /// Keys that `RESOURCES.md` names and this version cannot do yet: refused, never ignored.
    func notYet(_ keys: String...) {
        for key in keys {
            known.append(key)
            guard let entry = entries.first(where: { $0.key == key }) else { continue }
            reader.report(entry.keyPosition, path(of: key), "is not supported yet", "remove it")
        }
    }

    /// A key whose value is the control plane's own output.
    func ignore(_ key: String) { known.append(key) }

    func reportUnknownKeys() {
        for entry in entries where !known.contains(entry.key) {
            let hint = NearestName.among(known, to: entry.key).map { "did you mean '\($0)'?" }
            reader.report(
                entry.keyPosition, path(of: entry.key.clipped), "unknown key",
                hint ?? (known.isEmpty ? "remove it" : "known are \(known.joined(separator: ", "))"))
        }
    }
}

extension Fields {
    func string(_ key: String, isRequired: Bool = false) -> String? {
        node(key, isRequired: isRequired).flatMap { reader.string($0, path(of: key)) }
    }

    func checked(_ key: String, isRequired: Bool = false, _ check: (String) -> Syntax.Fault?) -> String? {
        node(key, isRequired: isRequired).flatMap { reader.checked($0, path(of: key), check) }
    }

    func integer(_ key: String, isRequired: Bool = false, in range: ClosedRange<Int>) -> Int? {
        node(key, isRequired: isRequired).flatMap { reader.integer($0, path(of: key), in: range) }
    }

    func boolean(_ key: String) -> Bool? { node(key).flatMap { reader.boolean($0, path(of: key)) } }

    func duration(_ key: String, isRequired: Bool = false, in range: ClosedRange<Duration>) -> Duration? {
        node(key, isRequired: isRequired).flatMap { reader.duration($0, path(of: key), in: range) }
    }

    func percent(_ key: String) -> Double? { node(key).flatMap { reader.percent($0, path(of: key)) } }

    func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ key: String, isRequired: Bool = false, _ type: Choice.Type
    ) -> Choice? {
        node(key, isRequired: isRequired).flatMap { reader.choice($0, path(of: key), type) }
    }

    @discardableResult
    func mapping<Value>(_ key: String, isRequired: Bool = false, _ body: (Fields) -> Value?) -> Value? {
        // `endpoints: {registered: }` says something although its value is empty.
        known.append(key)
        guard let entry = entries.first(where: { $0.key == key }) else {
            if isRequired { reader.report(position, path(of: key), "is missing", "add '\(key)'") }
            return nil
        }
        return reader.mapping(entry.value, path(of: key), body)
    }

    /// A list of mappings.
    @discardableResult
    func list<Value>(
        _ key: String, isRequired: Bool = false, countMax: Int = 1024, _ body: (Fields) -> Value?
    ) -> [Value]? {
        guard let node = node(key, isRequired: isRequired) else { return nil }
        return reader.list(node, path(of: key), countMax: countMax) { reader.mapping($0, $1, body) }
    }

    /// A list of scalars.
    func scalars<Value>(
        _ key: String, countMax: Int = 256, _ element: (YAMLNode, String) -> Value?
    ) -> [Value]? {
        guard let node = node(key) else { return nil }
        return reader.list(node, path(of: key), countMax: countMax, element)
    }

    /// A mapping from free keys to text, sorted by key.
    func texts(_ key: String, checkKey: (String) -> Syntax.Fault?) -> [String: String]? {
        guard let node = node(key) else { return nil }
        reader.mapping(node, path(of: key)) { fields -> Bool? in
            fields.known = fields.entries.map(\.key)
            return true
        }
        guard case .mapping(let entries) = node.content else { return nil }
        var result: [String: String] = [:]
        for entry in entries {
            let path = "\(path(of: key)).\(entry.key.clipped)"
            if let fault = checkKey(entry.key) {
                reader.report(entry.keyPosition, path, fault.problem, fault.remedy)
            }
            if let text = reader.string(entry.value, path) { result[entry.key] = text }
        }
        return result
    }
}
