import Proxy
import Synchronization
import XDSClient

/// Brings the wish of any thread to write log lines to the control thread, at most one at a time.
final class FlushRequests {
    private enum Wish: Sendable { case processLog, accessLogs }

    /// A wish is on its way.
    private final class Pending: Sendable {
        let processLog = Atomic(false)
        let accessLogs = Atomic(false)
    }

    private let loop: ControlLoop
    private let log: ProcessLog
    private let files: AccessLogFiles
    private let inbox: Inbox<Wish>

    init(loop: ControlLoop, log: ProcessLog, files: AccessLogFiles) {
        (self.loop, self.log, self.files) = (loop, log, files)
        let pending = Pending()
        inbox = loop.makeInbox(countMax: 2) { wish in
            // Before the flush: what is noted while it runs asks again.
            switch wish {
            case .processLog:
                pending.processLog.store(false, ordering: .sequentiallyConsistent)
                log.flush()
            case .accessLogs:
                pending.accessLogs.store(false, ordering: .sequentiallyConsistent)
                files.flush()
            }
        }
        let inbox = inbox
        log.setFlushRequest {
            if !pending.processLog.exchange(true, ordering: .sequentiallyConsistent) {
                inbox.post(.processLog)
            }
        }
        files.setFlushRequest {
            if !pending.accessLogs.exchange(true, ordering: .sequentiallyConsistent) {
                inbox.post(.accessLogs)
            }
        }
    }

    /// Whoever notes something writes it, from now on.
    func stop() {
        log.setFlushRequest(nil)
        files.setFlushRequest(nil)
        loop.remove(inbox)
    }
}
