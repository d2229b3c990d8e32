import AdminAPI
import ArgumentParser
import MeshConfig

/// `martlet token`: join tokens for workloads.
struct TokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Join tokens, with which a workload gets its first certificate.",
        subcommands: [Create.self])

    /// Prints the token and nothing else, so that a script can put it into a file.
    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "create", abstract: "Makes a token for one service, and prints it.")

        @OptionGroup var control: ControlOptions

        @Argument(help: ArgumentHelp("The service.", valueName: "namespace/service"))
        var service: String

        @Option(help: "How long it is good, such as 30m; 1h unless given.")
        var ttl: String?

        @Option(help: "How often it may be used; once unless given.")
        var uses: Int?

        @Option(name: [.customShort("o"), .long], help: "table (the token alone), json or yaml.")
        var output = OutputFormat.table

        func validate() throws {
            guard ServiceID(service) != nil else {
                throw ValidationError("'\(service)' is not a service; write NAMESPACE/NAME")
            }
            if let ttl, Syntax.duration(ttl) == nil {
                throw ValidationError("--ttl: '\(ttl)' is not a duration; write one such as 30m")
            }
        }

        func run() async throws {
            let request = TokenRequest(service: service, ttl: ttl, uses: uses)
            let grant = try control.client().post(
                "/api/v1/tokens", request, token: try control.adminToken(), as: TokenGrant.self)
            Output.line(try Output.encoded(grant, as: output) ?? grant.token)
        }
    }
}
