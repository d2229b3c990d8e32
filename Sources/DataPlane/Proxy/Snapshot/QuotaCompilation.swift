import MeshModel
import MeshPrimitives
import TrafficPolicy

/// Quota filters, compiled.
extension SnapshotCompiler {
    mutating func compile(_ filter: QuotaFilter, readsEdits: Bool, _ place: String) throws(CompileError)
        -> QuotaRecord
    {
        var record = QuotaRecord(
            scope: process.registry.quota(filter.domain), readsEdits: readsEdits,
            sendsRetryAfter: filter.sendsRetryAfter,
            enabled: fraction(filter.enabled), enforced: fraction(filter.enforced),
            requestEdits: try store([filter.requestHeadersWhenNotEnforced], place))
        var rules: [QuotaRuleRecord] = []
        var buckets: [QuotaBucketRecord] = []
        for rule in filter.rules {
            var steps: [QuotaStepRecord] = []
            try append(rule.predicate, to: &steps, place)
            rules.append(QuotaRuleRecord(steps: arena.store(steps), bucket: Int32(buckets.count)))
            buckets.append(try compile(rule.bucket, of: filter, place))
        }
        if let rest = filter.rest {
            record.rest = Int32(buckets.count)
            buckets.append(try compile(rest, of: filter, place))
        }
        record.rules = arena.store(rules)
        record.buckets = arena.store(buckets)
        return record
    }

    private mutating func append(
        _ predicate: QuotaFilter.Predicate, to steps: inout [QuotaStepRecord], _ place: String
    ) throws(CompileError) {
        switch predicate {
        case .field(let name, let match):
            var step = QuotaStepRecord(kind: .test)
            (step.field, step.text) = (try field(name, place), try compile(match, place))
            steps.append(step)
        case .all(let list), .any(let list):
            for predicate in list { try append(predicate, to: &steps, place) }
            var step = QuotaStepRecord(kind: .any, count: UInt8(clamping: list.count))
            if case .all = predicate { step.kind = .all }
            steps.append(step)
        case .not(let predicate):
            try append(predicate, to: &steps, place)
            steps.append(QuotaStepRecord(kind: .not))
        }
        guard steps.count <= Worker.quotaStepsMax else {
            throw CompileError(
                resource: place,
                reason: "a predicate of a quota has more than \(Worker.quotaStepsMax) steps")
        }
    }

    private mutating func field(_ name: String, _ place: String) throws(CompileError) -> QuotaFieldRecord {
        let match = try compile(HeaderMatch(name: name, test: .present(true)), place)
        return QuotaFieldRecord(name: match.name, subject: match.subject)
    }

    private mutating func compile(
        _ bucket: QuotaFilter.Bucket, of filter: QuotaFilter, _ place: String
    ) throws(CompileError) -> QuotaBucketRecord {
        var settings = QuotaBucket.Settings(
            withoutAssignment: bucket.withoutAssignment, expired: bucket.expired)
        settings.expiredFor = bucket.expiredFor?.nanoseconds ?? 0
        settings.reportInterval = max(bucket.reportInterval.nanoseconds, 1)
        var literals: [String: String] = [:]
        var open: [(key: String, field: QuotaFieldRecord)] = []
        for (key, value) in bucket.id.sorted(by: { $0.key < $1.key }) {
            switch value {
            case .literal(let text): literals[key] = text
            case .field(let name): open.append((key, try field(name, place)))
            }
        }
        let shared: QuotaEntry
        var maker: Unowned<QuotaMaker>?
        if open.isEmpty {
            let found = process.quotas.entry(
                filter.service, filter.domain, literals, settings, reportInterval: bucket.reportInterval,
                isOpen: false, at: now)
            guard let found else { preconditionFailure("only open values may lack room") }
            shared = found
        } else {
            shared = QuotaEntry(
                filter.service, filter.domain, literals, settings, reportInterval: bucket.reportInterval,
                isOpen: false, at: now)
            let made = QuotaMaker(
                filter.service, filter.domain, literals, open.map(\.key), settings, bucket.reportInterval)
            objects.quotaMakers.append(made)
            maker = Unowned(made)
        }
        objects.quotas.append(shared)
        var secret = Hasher()
        secret.combine(literals)
        secret.combine(filter.domain)
        return QuotaBucketRecord(
            entry: Unowned(shared), maker: maker, fields: arena.store(open.map(\.field)),
            secret: UInt64(bitPattern: Int64(secret.finalize())), status: UInt16(clamping: bucket.status),
            body: arena.store(bytes: bucket.body),
            grpcStatus: bucket.grpcStatus.map { Int16(clamping: $0) } ?? -1,
            answerEdits: try store([bucket.responseHeaders], place))
    }
}
