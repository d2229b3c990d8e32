import CLinux
import Glibc
import MeshPrimitives

/// How many processors this process may keep busy.
public enum ProcessorCount {
    /// The lesser of the affinity mask and the quota of the control groups (rounded up); at least 1.
    public static func available() -> Int {
        let allowed = max(1, Int(martlet_processors_allowed()))
        let quota = quota(groups: text("/proc/self/cgroup") ?? "", read: text)
        return max(1, min(allowed, quota ?? allowed))
    }

    /// Processors that the groups listed in `groups` (the form of /proc/self/cgroup: "ID:CONTROLLERS:PATH") and their
    /// parents may use, rounded up; nil if there is no limit. In a container the path may be the host's, which is not
    /// mounted here: then the parents that are do.
    static func quota(groups: String, read: (String) -> String?) -> Int? {
        var least: Int?
        for line in groups.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let controllers = parts[1].split(separator: ",")
            if !controllers.isEmpty && !controllers.contains("cpu") { continue }
            for folder in parents(of: parts[2]) {
                let limit =
                    controllers.isEmpty
                    ? unifiedLimit(folder, read) : legacyLimit(folder, named: String(parts[1]), read)
                if let limit { least = min(limit, least ?? limit) }
            }
        }
        return least
    }

    /// "/a/b" gives "/a/b", "/a", "".
    private static func parents(of path: Substring) -> [String] {
        var names = path.split(separator: "/")
        var folders = [""]
        while !names.isEmpty {
            folders.append("/" + names.joined(separator: "/"))
            names.removeLast()
        }
        return folders
    }

    /// Version 2, cpu.max: "QUOTA PERIOD" in microseconds, or "max PERIOD".
    private static func unifiedLimit(_ folder: String, _ read: (String) -> String?) -> Int? {
        for mount in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            guard let fields = read("\(mount)\(folder)/cpu.max")?.split(whereSeparator: \.isWhitespace) else {
                continue
            }
            guard fields.count == 2, let quota = Int(fields[0]), let period = Int(fields[1]) else {
                return nil
            }
            return roundedUp(quota, period)
        }
        return nil
    }

    /// Version 1: a quota of -1 is none.
    private static func legacyLimit(
        _ folder: String, named controllers: String, _ read: (String) -> String?
    ) -> Int? {
        for mount in [controllers, "cpu"] {
            let start = "/sys/fs/cgroup/\(mount)\(folder)/cpu.cfs_"
            guard let quota = number(read(start + "quota_us")), let period = number(read(start + "period_us"))
            else { continue }
            return roundedUp(quota, period)
        }
        return nil
    }

    private static func number(_ text: String?) -> Int? {
        text?.split(whereSeparator: \.isWhitespace).first.flatMap { Int($0) }
    }

    private static func roundedUp(_ quota: Int, _ period: Int) -> Int? {
        quota > 0 && period > 0 ? (quota - 1) / period + 1 : nil
    }

    private static func text(_ path: String) -> String? {
        guard let bytes = try? FileSystem.read(path, bytesMax: 64 << 10) else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }
}
