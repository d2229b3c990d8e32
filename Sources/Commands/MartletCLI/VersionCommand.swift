import AdminAPI
import ArgumentParser

/// `martlet version`.
struct VersionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version", abstract: "Prints the version of this program.")

    @Option(name: [.customShort("o"), .long], help: "table, json or yaml.")
    var output = OutputFormat.table

    private struct Report: Encodable { var version: String }

    func run() async throws {
        Output.line(
            try Output.encoded(Report(version: MartletVersion.text), as: output)
                ?? "martlet \(MartletVersion.text)")
    }
}
