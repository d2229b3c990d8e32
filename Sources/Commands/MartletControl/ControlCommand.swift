// MartletControl: `martlet-control`, the central process of a mesh.
//
// Reads its flags, puts the parts of the control plane together and runs them until a signal comes. Exit status:
// 0 after a signal, 1 failed while running, 2 bad usage or bad configuration (CONTRACT.md, section 1).

import AdminAPI
import ArgumentParser
import ConfigCompiler
import Foundation
import Logging
import MeshConfig
import ResourceStore

@main
struct ControlCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet-control",
        abstract: "The control plane of a Martlet service mesh.",
        version: "martlet-control \(MartletVersion.text)")

    @Option(
        help: ArgumentHelp(
            "The resources: a folder with *.yaml files, reloaded when they change.", valueName: "dir"))
    var config: String

    @Option(help: "Where the truth lies: file.")
    var store = "file"

    @Option(help: ArgumentHelp("Keys, tokens and revisions (mode 0700).", valueName: "dir"))
    var dataDir = "./martlet-data"

    @Option(
        help: ArgumentHelp(
            "Discovery in the clear; loopback only unless --insecure-xds.", valueName: "host:port"))
    var xdsAddress = "127.0.0.1:15010"

    @Option(help: ArgumentHelp("First certificates, for a join token.", valueName: "host:port"))
    var caAddress = "0.0.0.0:15011"

    @Option(
        help: ArgumentHelp("Discovery and renewal of certificates, with mutual TLS.", valueName: "host:port"))
    var xdsTLSAddress = "0.0.0.0:15012"

    @Option(help: ArgumentHelp("REST API, /metrics, /healthz and /readyz.", valueName: "host:port"))
    var httpAddress = "127.0.0.1:15014"

    @Option(help: ArgumentHelp("Writes the bound addresses, as JSON.", valueName: "file"))
    var portsFile: String?

    @Flag(help: "Allow discovery in the clear on an address that is not loopback.")
    var insecureXds = false

    @Option(help: "json or text.")
    var logFormat = LineLogHandler.Format.text

    @Option(help: "trace, debug, info, warning, error or off.")
    var logLevel = LogLevel.info

    enum LogLevel: String, ExpressibleByArgument, CaseIterable {
        case trace, debug, info, warning, error, off

        var level: Logger.Level {
            switch self {
            case .trace: return .trace
            case .debug: return .debug
            case .info: return .info
            case .warning: return .warning
            case .error, .off: return .error
            }
        }
    }

    static func main() async {
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch let code as ExitCode {
            Foundation.exit(code.rawValue)
        } catch {
            guard exitCode(for: error) != .success else {
                return FileHandle.standardOutput.write(Data((fullMessage(for: error) + "\n").utf8))
            }
            // One line, and our own status for bad usage (CONTRACT.md, section 1).
            complain("martlet-control: \(message(for: error)); see 'martlet-control --help'")
            Foundation.exit(2)
        }
    }

    func run() async throws {
        let logger = makeLogger()
        let settings = try settings()
        let plane: ControlPlane
        do {
            plane = try ControlPlane(settings, logger: logger)
        } catch {
            // One line for each error, as `martlet validate` prints them.
            Self.complain("\(error)")
            throw ExitCode(2)
        }
        do {
            try await plane.run()
        } catch {
            Self.complain("martlet-control: \(error)")
            throw ExitCode(1)
        }
    }

    private func settings() throws -> ControlPlane.Settings {
        guard store == "file" else {
            throw ValidationError("--store: '\(store)' is not supported yet; write file")
        }
        let xds = try address(xdsAddress, "--xds-address")
        guard insecureXds || IPAddress(xds.host)?.isLoopback == true else {
            throw ValidationError(
                "--xds-address: \(xds) is not loopback, and this port trusts everybody; "
                    + "use --xds-tls-address, or say --insecure-xds")
        }
        return ControlPlane.Settings(
            config: config, dataDirectory: dataDir, xds: xds, ca: try address(caAddress, "--ca-address"),
            xdsTLS: try address(xdsTLSAddress, "--xds-tls-address"),
            http: try address(httpAddress, "--http-address"),
            portsFile: portsFile)
    }

    private func address(_ text: String, _ flag: String) throws -> HostPort {
        let numeric = text.hasPrefix("localhost:") ? "127.0.0.1" + text.dropFirst("localhost".count) : text
        guard let address = HostPort(numeric, forListening: true) else {
            throw ValidationError("\(flag): '\(text)' is not an address; write IP:PORT")
        }
        return address
    }

    private func makeLogger() -> Logger {
        guard logLevel != .off else {
            return Logger(label: "martlet-control") { _ in SwiftLogNoOpLogHandler() }
        }
        var logger = Logger(label: "martlet-control") { [logFormat] _ in LineLogHandler(format: logFormat) }
        logger.logLevel = logLevel.level
        return logger
    }

    private static func complain(_ text: String) {
        FileHandle.standardError.write(Data((text + "\n").utf8))
    }
}
