import Telemetry

/// Why TLS with endpoints failed, for access logs: records have the number of a text.
struct FailureTexts {
    /// A text may hold what a peer has shown: so many different ones are kept, and others are one.
    private static let textsMax = 64

    private var texts = ["one of too many different failures"]

    mutating func id(of text: String) -> NameID {
        if let known = texts.firstIndex(of: text) { return NameID(UInt32(known) + 1) }
        guard texts.count < Self.textsMax else { return NameID(1) }
        texts.append(text)
        return NameID(UInt32(texts.count))
    }

    /// nil for none.
    subscript(_ id: NameID) -> String? { id.isNone ? nil : texts[Int(id.rawValue) - 1] }
}
