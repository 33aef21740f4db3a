package integration

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
)

// deliver runs the guest, on record: a try that was cut short goes on where its record ends.
func (s *Service) deliver(ctx context.Context, j *job.Job, in *Integration, p payload, rec *journal.Recorder, told *limited) error {
	start := rec.Resume()
	if start == nil {
		var err error
		if start, err = s.begin(ctx, j, in, p, rec); start == nil || err != nil {
			return err
		}
	}
	_, err := s.onRecord(ctx, j, in, rec, start, told, func(err error) error {
		if fault.Is(err, fault.Unsupported) && fault.SideOf(err) == fault.Guest && lifecycle(p.Event) {
			return nil // the guest has nothing to do then
		}
		return err
	})
	var c *journal.Checkpoint
	if errors.As(err, &c) {
		return errors.Join(err, s.restart(rec, start, c.State))
	}
	return err
}

// onRecord runs the guest call of a try on the version with which that began. judge may say that a failure of the guest is none;
// it may be nil.
func (s *Service) onRecord(ctx context.Context, j *job.Job, in *Integration, rec *journal.Recorder, start *journal.Start, told *limited, judge func(error) error) (json.RawMessage, error) {
	plug, err := s.version(start)
	if err != nil {
		return nil, err
	}
	handles, err := s.handlesOf(ctx, j, start)
	if err != nil {
		return nil, err
	}
	r, _, err := s.newRunWith(ctx, plug, in, 0, handles) // which also issues the handles that the input has
	if err != nil {
		return nil, err
	}
	r.limited = told
	call := r.call(start.Export)
	call.Input, call.Journal = start.Input, rec.Journal()
	value, err := plugin.Run[json.RawMessage](ctx, s.Guests, call)
	if judge != nil {
		err = judge(err)
	}
	return value, rec.Finish(err)
}

// begin begins the try of a delivery from the start. It returns nil if the guest takes no events.
func (s *Service) begin(ctx context.Context, j *job.Job, in *Integration, p payload, rec *journal.Recorder) (*journal.Start, error) {
	plug, err := s.integrationPlugin(in.Plugin)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "integration.deliver", "the plugin %s cannot run: %s", in.Plugin, fault.PublicMessage(err)).With(err)
	}
	if !plug.Has(abi.ExportHandleEvent) {
		return nil, nil
	}
	if err := s.eventData(ctx, j.Owner, &p); err != nil {
		return nil, err
	}
	return s.beginCall(ctx, j, in, rec, abi.ExportHandleEvent, func(record abi.Integration) any {
		return abi.EventInput{
			Event: p.Event, Data: p.Data, Integration: record,
			Delivery: abi.Delivery{ID: string(j.ID), Attempt: int64(j.Attempt), Last: j.Last()}, Checkpoint: checkpointOf(rec.Previous(), p.Data),
		}
	})
}

// checkpointOf is the state of the last checkpoint before a new try for the same data, nil if there is none. What was done before
// it is not on record any more, so a try from the very start would do it again.
func checkpointOf(before *journal.Start, data json.RawMessage) json.RawMessage {
	var was abi.EventInput
	if before == nil || before.Generation == 0 || json.Unmarshal(before.Input, &was) != nil {
		return nil
	}
	if same, err := json.Marshal(data); err != nil || len(data) > 0 && !bytes.Equal(same, was.Data) { // a person has given another input
		return nil
	}
	return was.Checkpoint
}

// beginCall begins a try from the start, with the version that serves. input gets the record as the guest is told of it.
func (s *Service) beginCall(ctx context.Context, j *job.Job, in *Integration, rec *journal.Recorder, export string, input func(abi.Integration) any) (*journal.Start, error) {
	plug, err := s.integrationPlugin(in.Plugin)
	if err != nil {
		return nil, err
	}
	start := journal.Start{ABI: abi.Version, Plugin: plug.Name, Version: plug.Version, Digest: plug.Digest, Export: export}
	if start.Handles, err = s.newHandleKey(ctx, j); err != nil {
		return nil, err
	}
	handles, err := s.handlesOf(ctx, j, &start)
	if err != nil {
		return nil, err
	}
	_, record, err := s.newRunWith(ctx, plug, in, 0, handles)
	if err != nil {
		return nil, err
	}
	if start.Input, err = json.Marshal(input(record)); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "integration.begin", "the input cannot be written")
	}
	return rec.Begin(start)
}

// restart puts a checkpoint on record, from which the run begins again.
func (s *Service) restart(rec *journal.Recorder, start *journal.Start, state json.RawMessage) error {
	var in abi.EventInput
	err := json.Unmarshal(start.Input, &in)
	if err == nil {
		in.Checkpoint = state
		var input []byte
		if input, err = json.Marshal(in); err == nil {
			return rec.Restart(input)
		}
	}
	return fault.Wrap(err, fault.Internal, "integration.deliver", "the checkpoint cannot be written")
}

// version finds the version with which a try began.
func (s *Service) version(start *journal.Start) (*plugin.Plugin, error) {
	p, err := s.Plugins.ByDigest(start.Digest)
	if err == nil && p.State == plugin.NeedsApproval {
		err = fault.New(fault.Forbidden, "integration.deliver", "it is not approved any more")
	}
	if err != nil {
		return nil, fault.New(fault.Unavailable, "integration.deliver", "this run began with version %s of %s (%s), which cannot run: %s",
			start.Version, start.Plugin, start.Digest, fault.PublicMessage(err)).With(err)
	}
	return p, nil
}

func handlePlace(j *job.Job) secret.Place {
	return secret.Place{Table: "journal", Column: "handles", Row: string(j.ID)}
}

// newHandleKey makes the key from which the handles of a run follow, so that a repeated guest finds the same ones.
func (s *Service) newHandleKey(ctx context.Context, j *job.Job) (sealed string, err error) {
	var key [32]byte
	rand.Read(key[:]) // never fails: the process ends instead
	return s.Vault.Seal(ctx, string(j.Owner), handlePlace(j), secret.NewText(base64.RawStdEncoding.EncodeToString(key[:])))
}

func (s *Service) handlesOf(ctx context.Context, j *job.Job, start *journal.Start) (*secret.Handles, error) {
	text, err := s.Vault.Open(ctx, string(j.Owner), handlePlace(j), start.Handles)
	if err != nil {
		return nil, err
	}
	raw, err := base64.RawStdEncoding.DecodeString(text.Reveal())
	if err != nil || len(raw) != 32 {
		return nil, fault.New(fault.Internal, "integration.deliver", "the key of the run's handles cannot be read").With(err)
	}
	return secret.HandlesOf([32]byte(raw)), nil
}
