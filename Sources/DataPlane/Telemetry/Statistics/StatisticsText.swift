/// The forms in which `/stats` shows numbers.
extension StatisticsSnapshot {
    /// Lines `name: value`; histograms as a row of quantiles. `isWanted` sees the full name.
    public func text(usedOnly: Bool = false, where isWanted: (String) -> Bool = { _ in true }) -> [UInt8] {
        var text: [UInt8] = []
        for (name, value) in entries(usedOnly: usedOnly) where isWanted(name) {
            text += name.utf8
            text += ": ".utf8
            switch value {
            case .number(let number): text += "\(number)".utf8
            case .histogram(let histogram): text += Self.summary(histogram).utf8
            }
            text.append(UInt8(ascii: "\n"))
        }
        return text
    }

    /// Quantiles of the last interval, which is not kept, and of all time.
    private static func summary(_ histogram: HistogramSnapshot) -> String {
        if histogram.count == 0 { return "No recorded values" }
        return HistogramSnapshot.quantiles.map { percent in
            "P\(number(percent))(nan,\(number(histogram.value(atPercent: percent) ?? 0)))"
        }.joined(separator: " ")
    }

    /// As Envoy's `/stats?format=json`.
    public func json(usedOnly: Bool = false, where isWanted: (String) -> Bool = { _ in true }) -> [UInt8] {
        var json: [UInt8] = Array(#"{"stats":["#.utf8)
        var quantiles: [String] = []
        var isFirst = true
        for (name, value) in entries(usedOnly: usedOnly) where isWanted(name) {
            switch value {
            case .number(let number):
                if !isFirst { json.append(UInt8(ascii: ",")) }
                isFirst = false
                json += #"{"name":\#(Self.quoted(name)),"value":\#(number)}"#.utf8
            case .histogram(let histogram) where histogram.count > 0:
                let values = HistogramSnapshot.quantiles.map { percent in
                    let value = histogram.value(atPercent: percent) ?? 0
                    return #"{"interval":null,"cumulative":\#(Self.number(value))}"#
                }
                quantiles.append(
                    #"{"name":\#(Self.quoted(name)),"values":[\#(values.joined(separator: ","))]}"#)
            case .histogram:
                break
            }
        }
        if !quantiles.isEmpty {
            if !isFirst { json.append(UInt8(ascii: ",")) }
            let supported = HistogramSnapshot.quantiles.map(Self.number).joined(separator: ",")
            json += #"{"histograms":{"supported_quantiles":[\#(supported)],"computed_quantiles":["#.utf8
            json += quantiles.joined(separator: ",").utf8
            json += "]}}".utf8
        }
        json += "]}".utf8
        return json
    }

    /// Without ".0" on whole numbers.
    static func number(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
    }

    static func quoted(_ text: String) -> String {
        var json: [UInt8] = []
        JSONText.append(string: text, to: &json)
        return String(decoding: json, as: UTF8.self)
    }
}
