import AdminAPI
import ArgumentParser
import MeshConfig
import ResourceStore

/// `martlet validate FILES…`: checks files and folders together, as one set, without a control plane.
struct ValidateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate",
        abstract: "Checks resources in files and folders, as one set.",
        discussion: "Prints one line for each error: FILE:LINE:COLUMN: path: what is wrong; what to do.")

    @Argument(help: "Files, or folders with *.yaml and *.yml below them.")
    var files: [String]

    @Option(name: [.customShort("o"), .long], help: "table, json or yaml.")
    var output = OutputFormat.table

    private struct Report: Encodable {
        var valid: Bool
        var resources: Int
        var errors: [String]
    }

    func run() async throws {
        let report = check()
        if let text = try Output.encoded(report, as: output) {
            Output.line(text)
        } else {
            report.errors.forEach(Output.error)
            if report.valid { Output.line("\(report.resources) resources, no errors") }
        }
        if !report.valid { throw ExitCode(2) }
    }

    private func check() -> Report {
        do {
            let specification = try MeshSpecification.read(try ConfigDirectory(files).read())
            return Report(valid: true, resources: specification.resources.count, errors: [])
        } catch let errors as ConfigErrors {
            return Report(valid: false, resources: 0, errors: errors.errors.map(\.description))
        } catch {
            return Report(valid: false, resources: 0, errors: ["\(error)"])
        }
    }
}
