// MartletLoad: `martlet-load`, an HTTP/1.1 load generator and a small fast origin, both on one thread and on our own
// event loop. It measures: in a closed loop how fast answers come, at a fixed rate how long they take, counted from the
// moment at which each request should have gone out, so that a stall shows in every request that it delays. It checks
// little of what it receives, and it speaks neither TLS nor HTTP/2.

import Glibc
import MeshPrimitives
import Reactor

@main
enum MartletLoad {
    static func main() {
        do {
            var arguments = ArgumentList(CommandLine.arguments.dropFirst())
            if arguments.next(is: "origin") {
                let options = try OriginOptions(&arguments)
                if options.helpWanted { return write(OriginOptions.usage + "\n", to: STDOUT_FILENO) }
                var origin = try Origin.make(options)
                origin.run()
            } else {
                let options = try LoadOptions(&arguments)
                if options.helpWanted { return write(LoadOptions.usage + "\n", to: STDOUT_FILENO) }
                var run = try LoadRun(options)
                let report = try run.run()
                write(options.wantsJSON ? report.json + "\n" : report.text, to: STDOUT_FILENO)
                if report.answers == 0 { exit(1) }
            }
        } catch {
            write("martlet-load: \(error.message)\n", to: STDERR_FILENO)
            exit(error.isUsage ? 2 : 1)
        }
    }

    static func write(_ text: String, to descriptor: Int32) {
        text.withByteView { bytes in
            _ = unsafe Glibc.write(descriptor, bytes.pointer, bytes.count)
        }
    }
}

/// What went wrong, in words; a wrong command line exits with 2.
struct LoadError: Error {
    let message: String
    var isUsage = false

    init(_ message: String) { self.message = message }
    init(_ doing: String, _ reason: SystemErrno) { message = "\(doing): \(reason)" }
    init(usage message: String) { (self.message, isUsage) = (message, true) }
}
