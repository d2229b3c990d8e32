// MartletCLI: `martlet`, the operator's command line.
//
// Every verb is a file. `validate` works on files alone, with the same reader as the control plane; the others ask
// the control plane over its HTTP API. Exit status: 0 fine, 1 failed while running, 2 bad usage or configuration.

import AdminAPI
import ArgumentParser
import Glibc

@main
struct MartletCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "Operates a Martlet service mesh.",
        version: "martlet \(MartletVersion.text)",
        subcommands: [
            ValidateCommand.self, StatusCommand.self, GetCommand.self, ExplainCommand.self, TokenCommand.self,
            BenchCommand.self, VersionCommand.self,
        ])

    static func main() async {
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch let code as ExitCode {
            Glibc.exit(code.rawValue)
        } catch {
            let status = exitCode(for: error)
            guard status == .success else {
                // One line, and our own status for bad usage (CONTRACT.md, section 1).
                let isUsage = status == .validationFailure
                Output.error("martlet: \(message(for: error))\(isUsage ? "; see 'martlet --help'" : "")")
                Glibc.exit(isUsage ? 2 : 1)
            }
            Output.line(fullMessage(for: error))
        }
    }
}
