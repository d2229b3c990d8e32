import Reactor
import Synchronization
import Telemetry
import XDSSchema

extension AdminPages {
    /// envoy.admin.v3.ServerInfo
    func serverInfo() -> AdminAnswer {
        .json(
            JSONOutput.document { json in
                json.value("version", facts.version)
                json.value("state", state.name)
                json.value("uptime_current_epoch", "\(uptimeSeconds)s")
                json.value("uptime_all_epochs", "\(uptimeSeconds)s")
                json.value("hot_restart_version", "disabled")
                json.object("command_line_options") { json in
                    for option in facts.options() {
                        let name = String(option.name.map { $0 == "-" ? "_" : $0 })
                        if let number = Int(option.value) {
                            json.value(name, number)
                        } else {
                            json.value(name, option.value)
                        }
                    }
                }
                if let node = surroundings.node() {
                    json.raw("node", JSONWriter.write(node, isIndented: false))
                }
            } + [0x0a])
    }

    /// envoy.admin.v3.Memory, as far as the kernel tells: the allocator has no numbers of its own.
    func memory() -> AdminAnswer {
        let memory = MemoryUse.current
        return .json(
            JSONOutput.document { json in
                json.wide("allocated", memory.anonymous)
                json.wide("heap_size", memory.data)
                json.wide("pageheap_unmapped", 0)
                json.wide("pageheap_free", 0)
                json.wide("total_thread_cache", 0)
                json.wide("total_physical_bytes", memory.resident)
            } + [0x0a])
    }
}

/// Bytes of this process, from /proc/self/statm (proc(5)).
struct MemoryUse {
    var resident: UInt64 = 0
    /// Resident, and not of a file.
    var anonymous: UInt64 = 0
    /// Data and stacks, resident or not.
    var data: UInt64 = 0

    private static let pageSize: UInt64 = 4096

    static var current: MemoryUse {
        guard let bytes = try? FileSystem.read("/proc/self/statm", bytesMax: 4096) else { return MemoryUse() }
        return MemoryUse(statm: String(decoding: bytes, as: UTF8.self))
    }

    init() {}

    /// "size resident shared text lib data dt", in pages.
    init(statm: String) {
        let fields = statm.split(whereSeparator: \.isWhitespace).map { UInt64($0) ?? 0 }
        guard fields.count >= 6 else { return }
        resident = fields[1] * Self.pageSize
        anonymous = (fields[1] - min(fields[1], fields[2])) * Self.pageSize
        data = fields[5] * Self.pageSize
    }
}
