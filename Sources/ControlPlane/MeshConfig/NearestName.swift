/// Finds the name that somebody who mistyped probably meant.
enum NearestName {
    /// The known name at the smallest edit distance, if that is small for the length; of equals the first.
    static func among(_ known: [String], to name: String) -> String? {
        guard name.utf8.count <= 64 else { return nil }
        let typed = Array(name.lowercased().utf8)
        let limit = max(1, typed.count / 3)
        var best: (name: String, distance: Int)?
        for candidate in known {
            let distance = editDistance(typed, Array(candidate.lowercased().utf8))
            if distance <= limit, distance < best?.distance ?? Int.max { best = (candidate, distance) }
        }
        return best?.name
    }

    /// Optimal string alignment: a swap of two neighbours is one edit, as the fingers see it.
    private static func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
        var beforeLast: [Int] = []
        var last = Array(0...b.count)
        for i in 1...a.count {
            var row = [i]
            for j in 1...b.count {
                var distance = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
                    distance = min(distance, beforeLast[j - 2] + 1)
                }
                row.append(distance)
            }
            (beforeLast, last) = (last, row)
        }
        return last[b.count]
    }
}
