/// A constraint that the API declares on a field, as the table writes it: `r` required · `lA-B` bytes of a
/// string · `iA-B` elements · `nA:B` number (a duration in nanoseconds) · `h` and `v` header name and value ·
/// `p…` prefix; separated by `;`, and what follows `e` is for each element.
struct FieldRule: Sendable {
    private struct Bounds: Sendable {
        var low: Int64?
        var high: Int64?

        init(_ text: Substring, separator: Character) {
            guard let place = text.lastIndex(of: separator) else { return }
            (low, high) = (Int64(text[..<place]), Int64(text[text.index(after: place)...]))
        }
    }

    private enum Part: Sendable {
        case length(Bounds)
        case number(Bounds)
        case headerName
        case headerValue
        case prefix(String)
    }

    private var parts: [Part] = []
    private var counts: [Bounds] = []
    private var eachParts: [Part] = []
    let isRequired: Bool

    init(_ text: String) {
        let texts = text.split(separator: ";")
        let own = texts.prefix { $0 != "e" }
        isRequired = own.contains("r")
        for text in own {
            if text.first == "i" { counts.append(Bounds(text.dropFirst(), separator: "-")) }
        }
        parts = own.compactMap { Self.part($0) }
        eachParts = texts.dropFirst(own.count + 1).compactMap { Self.part($0) }
    }

    private init(parts: [Part]) { (self.parts, isRequired) = (parts, false) }

    private static func part(_ text: Substring) -> Part? {
        switch text.first {
        case "l": .length(Bounds(text.dropFirst(), separator: "-"))
        case "n": .number(Bounds(text.dropFirst(), separator: ":"))
        case "h": .headerName
        case "v": .headerValue
        case "p": .prefix(String(text.dropFirst()))
        default: nil
        }
    }

    /// What holds for each element; nil where nothing does.
    var each: FieldRule? { eachParts.isEmpty ? nil : FieldRule(parts: eachParts) }

    /// What is wrong with the number of elements.
    func problem(count: Int) -> String? {
        for bounds in counts {
            if let low = bounds.low, Int64(count) < low {
                return "needs at least \(low) element\(low == 1 ? "" : "s")"
            }
            if let high = bounds.high, Int64(count) > high {
                return "has \(count) elements, more than \(high)"
            }
        }
        return nil
    }

    func problem(text: String) -> String? {
        for part in parts {
            switch part {
            case .length(let bounds):
                let count = text.utf8.count
                if let low = bounds.low, count < low {
                    return count == 0 ? "must not be empty" : "is shorter than \(low) bytes"
                }
                if let high = bounds.high, count > high { return "is longer than \(high) bytes" }
            case .headerName
            where !text.isEmpty && !text.utf8.enumerated().allSatisfy { Self.isNameByte($1, first: $0 == 0) }:
                return "'\(text.clipped)' is not a header name"
            case .headerValue where text.utf8.contains { $0 < 0x20 && $0 != 0x09 || $0 == 0x7F }:
                return "holds a control character, which a header value cannot"
            case .prefix(let wanted) where !text.isEmpty && !text.hasPrefix(wanted):
                return "must begin with '\(wanted)'"
            case .number, .headerName, .headerValue, .prefix:
                continue
            }
        }
        return nil
    }

    func problem(number: Double, shown: (Int64) -> String) -> String? {
        for case .number(let bounds) in parts {
            if number.isNaN { return "is not a number" }
            if let low = bounds.low, number < Double(low) { return "must be at least \(shown(low))" }
            if let high = bounds.high, number > Double(high) { return "must be at most \(shown(high))" }
        }
        return nil
    }

    /// RFC 9110's token, and `:` in front for pseudo-headers.
    private static func isNameByte(_ byte: UInt8, first: Bool) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        case UInt8(ascii: ":"): first
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}

extension ConfigMessage {
    /// Checks the constraints that the API declares, in this message and all within; true if none is broken.
    @discardableResult
    public func validate(path: String = "", problems: inout ConfigProblems) -> Bool {
        let before = problems.list.count + problems.omitted
        var checker = RuleChecker(problems: problems, path: PathStack(root: path))
        checker.check(self)
        problems = checker.problems
        return problems.list.count + problems.omitted == before
    }
}

/// The walk of `ConfigMessage.validate`.
private struct RuleChecker {
    var problems: ConfigProblems
    var path: PathStack

    mutating func check(_ message: ConfigMessage) {
        let info = TypeInfo.of(message.type)
        if info.form == .duration { checkDuration(message) }
        for oneof in info.requiredOneofs {
            let isSet = message.fields.contains {
                message.type.field(numbered: $0.number.rawValue)?.oneof == oneof
            }
            if !isSet { addMissing(oneof, message) }
        }
        // Both are in the order of the fields' numbers.
        var next = 0
        for field in message.fields {
            while next < info.rules.count, info.rules[next].info.number.rawValue < field.number.rawValue {
                checkUnset(info.rules[next], message)
                next += 1
            }
            var rule: RuledField?
            if next < info.rules.count, info.rules[next].info.number == field.number {
                rule = info.rules[next]
                next += 1
            }
            guard rule != nil || field.value.holdsMessages else { continue }
            path.push(.number(message.type, field.number))
            if let rule { apply(rule.rule, rule.info, field, position: field.position) }
            descend(field)
            path.pop()
        }
        while next < info.rules.count {
            checkUnset(info.rules[next], message)
            next += 1
        }
    }

    private mutating func checkUnset(_ ruled: RuledField, _ message: ConfigMessage) {
        guard ruled.info.oneof < 0 else { return }
        path.push(.number(message.type, ruled.info.number))
        apply(ruled.rule, ruled.info, nil, position: message.position)
        path.pop()
    }

    private mutating func addMissing(_ oneof: Int, _ message: ConfigMessage) {
        let names = message.type.fields.filter { $0.oneof == oneof && !$0.isRefused }.map { "'\($0.name)'" }
        problems.add(
            "needs \(names.count == 1 ? "" : "one of ")\(names.joined(separator: ", "))", path: path.text(),
            at: message.position)
    }

    private mutating func checkDuration(_ message: ConfigMessage) {
        let (seconds, nanos) = (message.signed(1), message.signed(2))
        let isValid =
            seconds.magnitude <= UInt64(DurationText.secondsMax) && nanos.magnitude < 1_000_000_000
            && (seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0))
        let here = path.text()
        if !isValid {
            problems.add("is not a valid duration", path: here, at: message.position)
        } else if seconds < 0 || nanos < 0, problems.list.last?.path != here {
            // Where the API declares no bound Envoy refuses it all the same.
            problems.add("must not be negative", path: here, at: message.position)
        }
    }

    private mutating func descend(_ field: ConfigField) {
        switch field.value {
        case .message(let message):
            check(message)
        case .list(let values):
            for (index, value) in values.enumerated() {
                guard case .message(let message) = value else { break }
                path.push(.index(index))
                check(message)
                path.pop()
            }
        case .map(let entries):
            for entry in entries {
                guard case .message(let message) = entry.value else { break }
                path.push(.key(entry.key))
                check(message)
                path.pop()
            }
        case .bool, .signed, .unsigned, .double, .text, .bytes, .enumerated:
            break
        }
    }

    private mutating func apply(
        _ rule: FieldRule, _ field: FieldInfo, _ found: ConfigField?, position: TextPosition
    ) {
        if rule.isRequired, found == nil {
            problems.add("is missing", path: path.text(), at: position)
            return
        }
        if field.isRepeated {
            var elements: [ConfigValue] = []
            if case .list(let list) = found?.value { elements = list }
            if case .map(let entries) = found?.value { elements = entries.map(\.value) }
            if let problem = rule.problem(count: elements.count) {
                problems.add(problem, path: path.text(), at: position)
            }
            guard let each = rule.each else { return }
            for (index, element) in elements.enumerated() {
                path.push(.index(index))
                apply(each, to: element, position: position)
                path.pop()
            }
            return
        }
        if let found {
            apply(rule, to: found.value, position: position)
        } else if !field.hasPresence {
            apply(rule, to: field.field.defaultValue, position: position)
        }
    }

    private mutating func apply(_ rule: FieldRule, to value: ConfigValue, position: TextPosition) {
        var problem: String?
        switch value {
        case .text(let text): problem = rule.problem(text: text)
        case .signed(let number): problem = rule.problem(number: Double(number), shown: String.init)
        case .unsigned(let number): problem = rule.problem(number: Double(number), shown: String.init)
        case .double(let number): problem = rule.problem(number: number, shown: String.init)
        case .message(let message) where message.type == XDS.Duration.messageType:
            let nanoseconds = Double(message.signed(1)) * 1e9 + Double(message.signed(2))
            problem = rule.problem(number: nanoseconds) { bound in
                if bound == 0 { return "0s" }
                return bound == 1
                    ? "0.000000001s (above zero)"
                    : DurationText.text(seconds: bound / 1_000_000_000, nanos: Int32(bound % 1_000_000_000))
            }
        case .message(let message) where message.type.isWrapper:
            if let field = message.type.field(numbered: 1) {
                return apply(rule, to: message[1] ?? field.defaultValue, position: position)
            }
        case .bytes(let bytes):
            if rule.problem(text: bytes.isEmpty ? "" : "x") != nil { problem = "must not be empty" }
        case .bool, .enumerated, .message, .list, .map: break
        }
        if let problem { problems.add(problem, path: path.text(), at: position) }
    }
}

extension ConfigValue {
    /// There may be something within it to look at.
    fileprivate var holdsMessages: Bool {
        switch self {
        case .message, .list, .map: true
        case .bool, .signed, .unsigned, .double, .text, .bytes, .enumerated: false
        }
    }
}
