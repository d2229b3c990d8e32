import AdminAPI
import ArgumentParser
import Fleet
import Foundation
import Logging

/// Log records as lines on standard error: JSON for machines, text for people.
struct LineLogHandler: LogHandler {
    enum Format: String, ExpressibleByArgument, CaseIterable { case json, text }

    let format: Format
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info

    init(format: Format) { self.format = format }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let fields = metadata.merging(event.metadata ?? [:]) { _, new in new }.sorted { $0.key < $1.key }
        let time = Fleet.text(Date())
        let line: String
        switch format {
        case .text:
            let rest = fields.map { " \($0.key)=\(Self.quoted("\($0.value)"))" }.joined()
            line = "\(time) \(event.level.rawValue) \(event.message)\(rest)"
        case .json:
            var members: [String: JSONValue] = [:]
            for (key, value) in fields { members[key] = .text("\(value)") }
            members["time"] = .text(time)
            members["level"] = .text(event.level.rawValue)
            members["message"] = .text("\(event.message)")
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            guard let data = try? encoder.encode(JSONValue.object(members)) else { return }
            line = String(decoding: data, as: UTF8.self)
        }
        // One write for each line, so that lines of several threads do not mix.
        FileHandle.standardError.write(Data((line.replacing("\n", with: " ") + "\n").utf8))
    }

    private static func quoted(_ text: String) -> String {
        guard text.contains(where: { $0 == " " || $0 == "\"" || $0.isNewline }) || text.isEmpty else {
            return text
        }
        return "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }
}
