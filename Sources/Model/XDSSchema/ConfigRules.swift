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

    /// Of a value that is no list, no map and no message.
    func problem(_ value: ConfigValue) -> String? {
        switch value {
        case .text(let text): problem(text: text)
        case .signed(let number): problem(number: Double(number), shown: String.init)
        case .unsigned(let number): problem(number: Double(number), shown: String.init)
        case .double(let number): problem(number: number, shown: String.init)
        case .bytes(let bytes): problem(text: bytes.isEmpty ? "" : "x") == nil ? nil : "must not be empty"
        case .bool, .enumerated, .message, .list, .map: nil
        }
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
        let before = problems.count
        var checker = RuleChecker(problems: problems, path: PathStack(root: path))
        checker.check(self)
        problems = checker.problems
        return problems.count == before
    }
}

/// The walk of `ConfigMessage.validate`.
private struct RuleChecker {
    var problems: ConfigProblems
    var path: PathStack

    /// Where messages lie that were sound, by their type: many are the same one. What is checked keeps them all.
    var sound = InlineArray<16, UInt>(repeating: 0)

    mutating func check(_ message: ConfigMessage) {
        guard let address = message.storage?.address else { return checkAnew(message) }
        let place = Int(message.type.index & 15)
        if sound[place] == address { return }
        let before = problems.count
        checkAnew(message)
        if problems.count == before { sound[place] = address }
    }

    private mutating func checkAnew(_ message: ConfigMessage) {
        let info = TypeInfo.of(message.type)
        if info.form == .duration { checkDuration(message) }
        for place in info.requiredOneofs.indices {
            let oneof = info.requiredOneofs[place]
            let isSet = message.fields.contains {
                info.field(numbered: $0.number.rawValue)?.oneof == oneof
            }
            if !isSet { addMissing(Int(oneof), message) }
        }
        // Both are in the order of the fields' numbers.
        let rules = info.rules
        var next = 0
        for place in message.fields.indices {
            let number = message.fields[place].number
            while next < rules.count, rules[next].info.number.rawValue < number.rawValue {
                if rules[next].mindsAbsence { checkUnset(rules[next], message) }
                next += 1
            }
            let isRuled = next < rules.count && rules[next].info.number == number
            if isRuled || message.fields[place].value.holdsMessages {
                let field = message.fields[place]
                path.push(.number(message.type, field.number))
                if isRuled { apply(rules[next], field) }
                descend(field)
                path.pop()
            }
            if isRuled { next += 1 }
        }
        while next < rules.count {
            if rules[next].mindsAbsence { checkUnset(rules[next], message) }
            next += 1
        }
    }

    private mutating func checkUnset(_ ruled: RuledField, _ message: ConfigMessage) {
        guard ruled.info.oneof < 0 else { return }
        path.push(.number(message.type, ruled.info.number))
        if ruled.rule.isRequired {
            problems.add("is missing", path: path.text(), at: message.position)
        } else if ruled.info.isRepeated {
            checkCount(ruled, 0, at: message.position)
        } else {
            apply(ruled.rule, to: ruled.info.field.defaultValue, position: message.position)
        }
        path.pop()
    }

    private mutating func checkCount(_ ruled: RuledField, _ count: Int, at position: TextPosition) {
        if let problem = ruled.rule.problem(count: count) {
            problems.add(problem, path: path.text(), at: position)
        }
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
        if isValid, seconds >= 0, nanos >= 0 { return }
        let here = path.text()
        if !isValid {
            problems.add("is not a valid duration", path: here, at: message.position)
        } else if problems.list.last?.path != here {
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

    private mutating func apply(_ ruled: RuledField, _ found: ConfigField) {
        guard ruled.info.isRepeated else {
            return apply(ruled.rule, to: found.value, position: found.position)
        }
        switch found.value {
        case .list(let elements):
            checkCount(ruled, elements.count, at: found.position)
            guard let each = ruled.each else { return }
            for index in elements.indices { apply(each, to: elements[index], at: index, found.position) }
        case .map(let entries):
            checkCount(ruled, entries.count, at: found.position)
            guard let each = ruled.each else { return }
            for index in entries.indices { apply(each, to: entries[index].value, at: index, found.position) }
        case .bool, .signed, .unsigned, .double, .text, .bytes, .enumerated, .message: break
        }
    }

    private mutating func apply(
        _ rule: FieldRule, to element: ConfigValue, at index: Int, _ position: TextPosition
    ) {
        path.push(.index(index))
        apply(rule, to: element, position: position)
        path.pop()
    }

    private mutating func apply(_ rule: FieldRule, to value: ConfigValue, position: TextPosition) {
        var problem: String?
        switch value {
        case .message(let message) where message.type == XDS.Duration.messageType:
            let nanoseconds = Double(message.signed(1)) * 1e9 + Double(message.signed(2))
            problem = rule.problem(number: nanoseconds) { bound in
                if bound == 0 { return "0s" }
                return bound == 1
                    ? "0.000000001s (above zero)"
                    : DurationText.text(seconds: bound / 1_000_000_000, nanos: Int32(bound % 1_000_000_000))
            }
        case .message(let message) where TypeInfo.of(message.type).form == .wrapper:
            if let field = message.type.field(numbered: 1) {
                return apply(rule, to: message[1] ?? field.defaultValue, position: position)
            }
        case .message, .list, .map: break
        case .bool, .signed, .unsigned, .double, .text, .bytes, .enumerated: problem = rule.problem(value)
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
