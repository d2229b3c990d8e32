import Foundation

/// A process that we have started. Foundation's `Process` would pass on the signal mask of the thread that starts it,
/// and the runner's threads block most signals: what was started would be deaf to SIGTERM.
final class ChildProcess: @unchecked Sendable {
    let processID: pid_t
    private let lock = NSLock()
    private var ended: Int32?

    /// `program` is a path or looked up on `PATH`; `output` and `errors` are paths of files, made new; without `errors` both go to `output`.
    init(
        _ program: String, _ arguments: [String], in directory: String, environment: [String: String] = [:],
        input: String, output: String, errors: String?
    ) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let writing = O_WRONLY | O_CREAT | O_TRUNC | O_APPEND
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, input, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, writing, 0o644)
        if let errors {
            posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors, writing, 0o644)
        } else {
            posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
        }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        let merged = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        // `env` becomes the program, so it has the same process identifier.
        let changing = "/usr/bin/env"
        var words = ([changing, "-C", directory, program] + arguments).map { strdup($0) } + [nil]
        var variables = merged.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { (words + variables).forEach { free($0) } }
        var child: pid_t = 0
        let result = posix_spawn(&child, changing, &actions, &attributes, &words, &variables)
        guard result == 0 else { throw TestFailure("start \(program): \(String(cString: strerror(result)))") }
        processID = child
    }

    /// The exit status, or minus the signal that ended it; nil while it runs.
    var status: Int32? {
        lock.withLock {
            if let ended { return ended }
            var word: Int32 = 0
            guard waitpid(processID, &word, WNOHANG) == processID else { return nil }
            ended = word & 0x7f == 0 ? (word >> 8) & 0xff : -(word & 0x7f)
            return ended
        }
    }

    /// Not sent once the process has ended, since its number may be another's then.
    func signal(_ number: Int32) {
        if status == nil { Glibc.kill(processID, number) }
    }

    /// Ends it and waits for that.
    func kill() {
        guard status == nil else { return }
        Glibc.kill(processID, SIGKILL)
        while status == nil { usleep(1_000) }
    }
}
