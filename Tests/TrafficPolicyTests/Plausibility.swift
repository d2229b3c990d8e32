/// Whether counts can come from a distribution: chi-square under a bound that a right one passes all but about once in
/// ten thousand (Wilson and Hilferty's approximation of the quantile at 3.7 standard deviations).
func isPlausible(_ counts: [Int], _ shares: [Double]) -> Bool {
    let total = Double(counts.reduce(0, +))
    let sum = shares.reduce(0, +)
    var chi = 0.0
    for (count, share) in zip(counts, shares) {
        let expected = total * share / sum
        if expected == 0 {
            if count > 0 { return false }
            continue
        }
        chi += (Double(count) - expected) * (Double(count) - expected) / expected
    }
    let freedom = Double(max(1, shares.count { $0 > 0 } - 1))
    let term = 1 - 2 / (9 * freedom) + 3.7 * (2 / (9 * freedom)).squareRoot()
    return chi < freedom * term * term * term
}
