import MeshModel
import MeshPrimitives
import Proxy
import Reactor
import XDSClient
import XDSDiscovery
import XDSSchema

/// From the command line to the process and its exit status.
enum ProxyRun {
    static func main(_ arguments: [String]) -> Int32 {
        do throws(StartFailure) {
            switch try command(arguments) {
            case .help: say(CommandLineReader.help)
            case .version: say("martlet-proxy \(ProxyVersion.text)\n")
            case .run(let options): try run(options)
            }
            return 0
        } catch {
            complain(error.lines)
            return error.status
        }
    }

    private static func command(_ arguments: [String]) throws(StartFailure) -> ProxyCommand {
        do throws(UsageError) {
            return try CommandLineReader.read(arguments, environment: FileBootstrap.environment)
        } catch { throw .usage(error) }
    }

    private static func run(_ options: ProxyOptions) throws(StartFailure) {
        if let process = try process(options) { try process.run() }
    }

    /// What was read is let go of before the process runs. nil: there was something to be said only.
    private static func process(_ options: ProxyOptions) throws(StartFailure) -> ProxyProcess? {
        let maker: (ProcessLog) -> SourceMaker
        if options.isMesh {
            let mesh = try MeshBootstrap.read(options)
            if options.mode == .validate {
                say(valid)
                return nil
            }
            maker = { log in
                { (loop, resolver, server) throws(StartFailure) in
                    try ConfigurationSource(mesh, loop: loop, resolver: resolver, server: server, log: log)
                }
            }
        } else {
            let file = try file(options)
            if options.mode == .validate {
                try validate(file)
                return nil
            }
            maker = { log in
                { (loop, resolver, _) throws(StartFailure) in
                    try ConfigurationSource(file, loop: loop, resolver: resolver, log: log)
                }
            }
        }
        // Before any thread is started, or it would still be killed by a signal.
        let signals = try starting { () throws(SystemErrno) in try SignalSource() }
        let loop = try starting { () throws(SystemErrno) in try ControlLoop(kernel: LinuxKernel.make()) }
        let log = try log(options)
        return try ProxyProcess(
            options, loop: loop, signals: signals, log: log, makeSource: maker(log))
    }

    private static func file(_ options: ProxyOptions) throws(StartFailure) -> FileBootstrap {
        var problems = ConfigProblems()
        if let file = FileBootstrap.read(options, problems: &problems) { return file }
        throw .configuration(problems)
    }

    private static let valid = "configuration OK\n"

    private static func starting<Value: ~Copyable>(
        _ body: () throws(SystemErrno) -> Value
    ) throws(StartFailure) -> Value {
        do throws(SystemErrno) { return try body() } catch { throw .running("cannot start: \(error)") }
    }

    /// As far as it goes without opening a port.
    private static func validate(_ file: FileBootstrap) throws(StartFailure) {
        var client = ADSClient(bootstrap: file.bootstrap, surroundings: file.surroundings)
        _ = client.start(at: .zero)
        let server = try starting { () throws(SystemErrno) in
            try ProxyServer(kernel: LinuxKernel.make(), workers: 1, log: ProcessLog(level: .off))
        }
        do throws(ApplyError) {
            try server.check(client.configuration)
        } catch {
            throw StartFailure(status: 2, lines: ["\(error)"])
        }
        say(valid)
    }

    private static func log(_ options: ProxyOptions) throws(StartFailure) -> ProcessLog {
        guard let path = options.logPath else {
            return ProcessLog(level: options.logLevel, format: options.logFormat)
        }
        do throws(FileError) {
            return try ProcessLog(level: options.logLevel, format: options.logFormat, path: path)
        } catch {
            throw .running("log \(error)")
        }
    }

    // MARK: Standard output and error

    private static func say(_ text: String) { write(text, to: "/dev/stdout") }

    private static func complain(_ lines: [String]) {
        write(lines.map { "\($0)\n" }.joined(), to: "/dev/stderr")
    }

    private static func write(_ text: String, to path: String) {
        // Without anybody to read there is nothing left to do.
        guard let file = try? LogFile(path) else { return }
        text.withByteView { bytes in try? file.append(bytes) }
    }
}

enum ProxyVersion {
    static let text = "0.1.0"
}
