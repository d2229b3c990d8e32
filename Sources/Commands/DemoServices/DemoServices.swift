// DemoServices: the brokerage of `make demo`: portal, orders, quotes and payments, each a process that speaks plain
// HTTP/1.1 with a thread for every connection. They stand for applications, so they know nothing of the mesh: what
// they send goes to one address, their sidecar's, and they pass trace headers on as an instrumented program would.
// Not for measuring (MartletLoad has a fast origin), and not a library.

import Glibc
import MeshPrimitives

@main
enum DemoServices {
    static func main() {
        let options: Options
        do {
            options = try Options(arguments: Array(CommandLine.arguments.dropFirst()))
        } catch {
            report("martlet-demo-service: \(error.message)")
            exit(2)
        }
        if options.helpWanted {
            print(Options.usage)
            return
        }
        signal(SIGPIPE, SIG_IGN)
        do {
            try serve(options)
        } catch {
            report("martlet-demo-service: \(error.message)")
            exit(1)
        }
    }

    private static func serve(_ options: Options) throws(DemoError) {
        let listener = try Socket.listen(at: options.listen)
        let address = try Socket.address(of: listener)
        if let path = options.portsFile { try writeAtomically("http: \(address)\n", to: path) }
        report("\(options.service.rawValue) \(options.version) listens at \(address)")
        let service = Service(options)
        HTTPServer(listener: listener).run { request in service.answer(request) }
    }

    /// A reader never sees half of the file.
    private static func writeAtomically(_ text: String, to path: String) throws(DemoError) {
        let temporary = path + ".new"
        guard let file = fopen(temporary, "w") else { throw DemoError("\(temporary): \(lastSystemError())") }
        let written = fputs(text, file) >= 0
        guard fclose(file) == 0, written, rename(temporary, path) == 0 else {
            throw DemoError("\(path): \(lastSystemError())")
        }
    }
}

/// What went wrong, in words.
struct DemoError: Error {
    let message: String
    init(_ message: String) { self.message = message }
}

func lastSystemError() -> String { String(cString: strerror(errno)) }

/// One line on the standard error stream.
func report(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
}
