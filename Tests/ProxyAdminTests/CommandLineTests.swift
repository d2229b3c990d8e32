import Proxy
import Testing
import XDSClient
import XDSSchema

@testable import MartletProxy

@Suite("Command line of martlet-proxy")
struct CommandLineTests {
    private func options(_ arguments: String...) throws -> ProxyOptions {
        guard case .run(let options) = try CommandLineReader.read(arguments) else {
            throw UsageError("not to be run: \(arguments)")
        }
        return options
    }

    @Test("Flags are read in both forms, and the last one counts")
    func forms() throws {
        let read = try options(
            "-c", "a.yaml", "--concurrency=3", "--concurrency", "4", "--mode", "validate", "--drain-time-s=5",
            "--file-flush-interval-msec", "20", "-l", "warn", "--log-format", "json", "--config-yaml=a: b=c",
            "--service-node", "n", "--service-cluster=c", "--service-zone", "z", "--admin-address-path", "adm"
        )
        #expect(read.configPath == "a.yaml" && read.configYAML == "a: b=c" && read.concurrency == 4)
        #expect(read.mode == .validate && read.drainTime == .seconds(5))
        #expect(read.fileFlushInterval == .milliseconds(20))
        #expect(read.logLevel == .warning && read.logFormat == .json)
        #expect(read.serviceNode == "n" && read.serviceCluster == "c" && read.serviceZone == "z")
        #expect(read.adminAddressPath == "adm" && !read.isMesh)
    }

    @Test("What is not given has Envoy's defaults")
    func defaults() throws {
        let read = try options("-c", "a")
        #expect(read.drainTime == .seconds(600) && read.parentShutdownTime == .seconds(900))
        #expect(read.fileFlushInterval == .seconds(10) && read.concurrency == nil)
        #expect(read.mode == .serve && read.drainStrategy == .gradual && read.logLevel == .info)
    }

    @Test("Every key of the mesh bootstrap is a flag")
    func mesh() throws {
        let read = try options("--mesh", "m.yaml", "--service", "a/b", "--xds-port=1", "--service=c/d")
        #expect(read.isMesh && read.meshPath == "m.yaml")
        #expect(
            read.meshKeys == [
                ProxyOptions.MeshKey(key: "xds-port", value: "1"),
                ProxyOptions.MeshKey(key: "service", value: "c/d"),
            ])
        let flags = CommandLineReader.flags.filter(\.isMeshKey).map(\.name)
        #expect(flags.sorted() == MeshBootstrap.keys)
        let environment = ["MARTLET_SERVICE": "a/b"]
        guard case .run(let byEnvironment) = try CommandLineReader.read([], environment: { environment[$0] })
        else {
            Issue.record("not run")
            return
        }
        #expect(byEnvironment.isMesh)
        guard
            case .run(let plain) = try CommandLineReader.read(["-c", "a"], environment: { environment[$0] })
        else {
            Issue.record("not run")
            return
        }
        #expect(!plain.isMesh)
    }

    @Test("Envoy's harmless flags are taken")
    func harmless() throws {
        _ = try options(
            "-c", "a", "--base-id", "1", "--restart-epoch=0", "--disable-hot-restart",
            "--component-log-level",
            "upstream:debug", "--cpuset-threads", "--local-address-ip-version", "v4")
    }

    @Test(
        "What makes no sense is refused, with what to do",
        arguments: [
            (["-c", "a", "--concurency", "2"], "did you mean --concurrency?"),
            (["-c", "a", "--xyzzy"], "see --help"), (["file"], "'file' is no flag"),
            (["-c"], "needs a value"),
            (["-c", "a", "--concurrency", "0"], "from 1 to 64"),
            (["-c", "a", "--concurrency=many"], "from 1 to 64"),
            (["-c", "a", "--mode=init"], "serve, validate"), (["-c", "a", "--log-level", "loud"], "warning"),
            (["-c", "a", "--log-format", "[%T]"], "text, json"),
            (["-c", "a", "--drain-time-s=-1"], "from 0"),
            (["-c", "a", "--disable-hot-restart=1"], "takes no value"), ([], "there is no configuration"),
            (["-c", "a", "--mesh", "b"], "leave -c"),
            (["-c", "a", "--allow-unknown-static-fields"], "always refused"),
        ])
    func refusals(_ arguments: [String], _ text: String) {
        do throws(UsageError) {
            _ = try CommandLineReader.read(arguments)
            Issue.record("taken: \(arguments)")
        } catch {
            #expect(error.description.contains(text), "\(error)")
        }
    }

    @Test("--help and --version come before everything else")
    func help() throws {
        #expect(try CommandLineReader.read(["--help"]) == .help && CommandLineReader.read(["-h"]) == .help)
        #expect(try CommandLineReader.read(["-c", "a", "--version"]) == .version)
        let text = CommandLineReader.help
        for flag in CommandLineReader.flags { #expect(text.contains("--\(flag.name)"), "\(flag.name)") }
    }

    @Test("Problems of a bootstrap are told with file, line and path, and exit status 2")
    func badBootstrap() {
        let failure = StartFailure.configuration(found(in: "node: {idd: x}\nadmin: {address: 5}"))
        #expect(failure.status == 2 && failure.lines.count == 2, "\(failure.lines)")
        #expect(failure.lines.allSatisfy { $0.hasPrefix("--config-yaml:") }, "\(failure.lines)")
    }
}

private func found(in yaml: String) -> ConfigProblems {
    var options = ProxyOptions()
    options.configYAML = yaml
    var problems = ConfigProblems()
    let file = FileBootstrap.read(options, problems: &problems)
    #expect(file == nil)
    return problems
}
