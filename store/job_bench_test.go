package store

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
)

// BenchmarkQueue measures the queue for 1, 8 and 32 clients at once, and in the same run the insert of one row by one plain
// connection with the same settings: accept is a webhook (event and job, durable), enqueue a job alone, work a claim and its
// end. p99-ms is the wait of one accept.
//
//	go test ./store -run '^$' -bench BenchmarkQueue -benchtime 20000x
func BenchmarkQueue(b *testing.B) {
	for _, clients := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			db, plain := benchDatabases(b)
			records := benchRecords(b, db)
			var accept, enqueue, work, bare time.Duration
			waits := make([]time.Duration, b.N)
			for done := 0; done < b.N; {
				n := min(b.N-done, 200*clients)
				first := done
				accept += spend(b, clients, n, func(i int) error {
					began := time.Now()
					err := benchAccept(db, records[i%len(records)])
					waits[first+i-1] = time.Since(began)
					return err
				})
				bare += spend(b, clients, n, plain.insert)
				work += benchWork(b, db, clients, n)
				enqueue += spend(b, clients, n, func(i int) error {
					_, _, err := db.Enqueue(context.Background(), benchJob(records[i%len(records)]))
					return err
				})
				benchWork(b, db, clients, n)
				done += n
			}
			perSecond := func(d time.Duration) float64 { return float64(b.N) / d.Seconds() }
			slices.Sort(waits)
			b.ReportMetric(perSecond(accept), "accept/s")
			b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(perSecond(enqueue), "enqueue/s")
			b.ReportMetric(perSecond(work), "work/s")
			b.ReportMetric(perSecond(bare), "bare-insert/s")
			b.ReportMetric(perSecond(accept)/perSecond(bare), "accept/bare")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func (p *plainWriter) insert(i int) error {
	_, err := p.stmts[2].Exec(i)
	return err
}

// benchRecords are integrations of several owners.
func benchRecords(b *testing.B, db *DB) []*integration.Integration {
	b.Helper()
	var out []*integration.Integration
	for i := range 64 {
		u := &account.User{ID: account.NewID(), Kind: account.Individual, CreatedAt: morning}
		if err := db.CreateUser(b.Context(), nil, u); err != nil {
			b.Fatal(err)
		}
		o := account.Owner(u.ID)
		c := &connection.Credential{ID: connection.NewCredentialID(), Owner: o, Module: "crm", Status: connection.OK, Sealed: "v1.x.y", CreatedAt: morning, UpdatedAt: morning}
		e := &connection.Entity{ID: connection.NewEntityID(), Owner: o, Module: "crm", Credential: c.ID, ExternalID: fmt.Sprint(i), Name: "Acme", CreatedAt: morning, UpdatedAt: morning}
		saved, err := db.CompleteAuthorization(b.Context(), c, []*connection.Entity{e}, morning)
		if err != nil {
			b.Fatal(err)
		}
		in := &integration.Integration{
			ID: integration.NewID(), Owner: o, Plugin: "sync", Version: "1.0.0", Status: abi.StatusEnabled, Config: json.RawMessage(`{}`),
			Members: []integration.Member{{Role: "crm", Entity: saved[0].ID}}, CreatedAt: morning, UpdatedAt: morning,
		}
		if err := db.CreateIntegration(b.Context(), in, benchJob(in)); err != nil {
			b.Fatal(err)
		}
		out = append(out, in)
	}
	benchWork(b, db, 8, len(out))
	return out
}

func benchJob(in *integration.Integration) job.New {
	return job.New{
		ID: job.NewID(), Owner: in.Owner, Lane: string(in.ID), Kind: "test", CreatedAt: morning,
		Limits: []string{"connection:" + string(in.Members[0].Entity)}, Payload: json.RawMessage(`{"integration":"int_0198c0de-0000-7000-8000-000000000000"}`),
	}
}

var benchDelivery atomic.Int64

func benchAccept(db *DB, in *integration.Integration) error {
	n := benchDelivery.Add(1)
	e := &integration.Event{
		ID: integration.EventID(fmt.Sprintf("evt_%020d", n)), Integration: in.ID, Owner: in.Owner, Webhook: "w", Dedupe: fmt.Sprint(n), ReceivedAt: morning,
	}
	_, err := db.ReceiveEvent(context.Background(), e, benchJob(in), 1<<30)
	return err
}

// benchWork claims and ends n jobs and returns how long it took.
func benchWork(b *testing.B, db *DB, clients, n int) time.Duration {
	b.Helper()
	began := time.Now()
	for left := n; left > 0; {
		jobs, err := db.ClaimJobs(context.Background(), "w", morning, morning.Add(time.Minute), min(clients, left))
		if err != nil || len(jobs) == 0 {
			b.Fatalf("claimed %d of %d, %v", len(jobs), left, err)
		}
		var all sync.WaitGroup
		for _, j := range jobs {
			all.Go(func() {
				if err := db.SettleJob(context.Background(), j.ID, j.Epoch, morning, job.Settlement{State: job.Done}); err != nil {
					b.Error(err)
				}
			})
		}
		all.Wait()
		left -= len(jobs)
	}
	return time.Since(began)
}

// BenchmarkClaim measures a claim and its end while many lanes, or many jobs of one lane, wait.
//
//	go test ./store -run '^$' -bench BenchmarkClaim -benchtime 500x
func BenchmarkClaim(b *testing.B) {
	for _, waiting := range []struct{ lanes, jobs int }{{100, 1000}, {10_000, 10_000}, {1, 100_000}} {
		b.Run(fmt.Sprintf("lanes=%d,jobs=%d", waiting.lanes, waiting.jobs), func(b *testing.B) {
			db := openCapped(b, filepath.Join(b.TempDir(), "jobs.db"), Caps{})
			enqueueMany(b, db, "usr_a", waiting.lanes, waiting.jobs, 1)
			b.ResetTimer()
			for b.Loop() {
				jobs, err := db.ClaimJobs(b.Context(), "w", morning, morning.Add(time.Minute), 1)
				if err != nil || len(jobs) != 1 {
					b.Fatalf("claimed %d, %v", len(jobs), err)
				}
				if err := db.SettleJob(b.Context(), jobs[0].ID, jobs[0].Epoch, morning, job.Settlement{State: job.Queued, RunAt: morning, Free: true}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
