import MeshModel
import RegularExpressions
import XDSSchema

// envoy.type.matcher.v3: regular expressions
extension ResourceCompiler {
    /// The pattern; nil if it cannot be used, which was reported.
    mutating func regex(_ node: ConfigNode) -> String? {
        let pattern = node.message.text(XDS.RegexMatcher.regex)
        return compiled(pattern, at: node).map { _ in pattern }
    }

    private mutating func compiled(_ pattern: String, at node: ConfigNode) -> RegularExpression? {
        do throws(RegularExpression.Refusal) {
            return try RegularExpression(pattern, programSizeMax: programSizeMax)
        } catch {
            add(error.description, at: node, XDS.RegexMatcher.regex)
            return nil
        }
    }

    /// Envoy's key; operators raise it for patterns that need more.
    private var programSizeMax: Int {
        guard case .number(let size) = surroundings.runtime["re2.max_program_size.error_level"] else {
            return RegularExpression.programSizeMax
        }
        return Int(max(0, min(size, 1_000_000)))
    }

    /// RegexMatchAndSubstitute
    mutating func rewrite(_ node: ConfigNode) -> (pattern: String, substitution: String)? {
        typealias F = XDS.RegexMatchAndSubstitute
        guard let pattern = node.child(F.pattern) else {
            add("is missing", at: node, F.pattern)
            return nil
        }
        let text = pattern.message.text(XDS.RegexMatcher.regex)
        guard let regex = compiled(text, at: pattern) else { return nil }
        let substitution = node.message.text(F.substitution)
        if !regex.accepts(substitution: substitution) {
            add(
                "'\(substitution)' names a group that '\(text)' does not have, or ends in a backslash",
                at: node, F.substitution)
        }
        return (text, substitution)
    }

    /// Where regular expressions are not looked at.
    mutating func refuseRegex(_ match: StringMatch, at node: ConfigNode) {
        if case .regex = match.pattern { add("'safe_regex' is not supported here", at: node) }
    }
}
