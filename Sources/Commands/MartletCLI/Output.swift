import AdminAPI
import ArgumentParser
import Foundation

/// How a verb prints its result.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case table, json, yaml
}

/// Writes to standard output and standard error, whole lines at a time.
enum Output {
    static func line(_ text: String) { write(text, to: .standardOutput) }

    static func error(_ text: String) { write(text, to: .standardError) }

    private static func write(_ text: String, to handle: FileHandle) {
        guard !text.isEmpty else { return }
        // A reader that went away (`martlet get … | head -1`) is not an error.
        try? handle.write(contentsOf: Data((text + "\n").utf8))
    }

    /// The value in a machine's format; `nil` for tables, which only the verb can make.
    static func encoded(_ value: some Encodable, as format: OutputFormat) throws -> String? {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let data = try encoder.encode(value)
        switch format {
        case .table: return nil
        case .json: return String(decoding: data, as: UTF8.self)
        case .yaml:
            let yaml = try JSONDecoder().decode(JSONValue.self, from: data).yaml
            return String(yaml.dropLast())
        }
    }

    /// Columns as wide as their widest cell, two spaces apart.
    static func table(_ header: [String], _ rows: [[String]]) -> String {
        let all = [header] + rows
        let widths = header.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            let cells = row.enumerated().map { index, cell in
                index == row.count - 1
                    ? cell : cell + String(repeating: " ", count: widths[index] - cell.count)
            }
            return cells.joined(separator: "  ")
        }.joined(separator: "\n")
    }
}
