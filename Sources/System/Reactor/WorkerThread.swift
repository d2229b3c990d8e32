import CLinux
import Glibc

/// A thread of the machine, for a loop that lives as long as the process, or for what would block a loop.
@safe public struct WorkerThread: Sendable {
    private final class Body: Sendable {
        let name: String
        let run: @Sendable () -> Void

        init(name: String, run: @escaping @Sendable () -> Void) { (self.name, self.run) = (name, run) }
    }

    private let handle: pthread_t

    /// The name is cut at 15 bytes. `stackSize` in bytes: taken as it is used.
    public static func start(
        name: String, stackSize: Int = 512 << 10, body: @escaping @Sendable () -> Void
    ) throws(SystemErrno) -> WorkerThread {
        var attributes = pthread_attr_t()
        unsafe pthread_attr_init(&attributes)
        defer { unsafe pthread_attr_destroy(&attributes) }
        unsafe pthread_attr_setstacksize(&attributes, stackSize)
        let parcel = unsafe Unmanaged.passRetained(Body(name: name, run: body))
        var handle = pthread_t()
        let code = unsafe pthread_create(
            &handle, &attributes,
            { parcel in
                guard let parcel = unsafe parcel else { return nil }
                let body = unsafe Unmanaged<Body>.fromOpaque(parcel).takeRetainedValue()
                unsafe martlet_name_thread(body.name)
                body.run()
                return nil
            }, parcel.toOpaque())
        if code != 0 {
            unsafe parcel.release()
            throw SystemErrno(code: code)
        }
        return WorkerThread(handle: handle)
    }

    /// Waits for its end. Once, and from another thread.
    public func join() {
        let code = pthread_join(handle, nil)
        precondition(code == 0, "a thread is joined once")
    }
}
