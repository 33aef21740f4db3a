package schedule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// plan gives records the schedules of the manifests that serve now: records that are new, and all when a plugin was upgraded.
func (s *Service) plan(ctx context.Context) time.Duration {
	for _, p := range s.Plugins.Plugins() {
		if p.Kind != abi.PluginKindIntegration {
			continue
		}
		serving, err := s.Plugins.Plugin(p.Name)
		if err != nil {
			continue // its schedules stay as they are until it serves again
		}
		if err := s.planRecords(ctx, serving); err != nil {
			s.failed(ctx, "schedules of "+p.Name+" could not be planned", err)
		}
	}
	return s.Poll
}

func (s *Service) planRecords(ctx context.Context, p *plugin.Plugin) error {
	name := planOf(&p.Manifest)
	for ctx.Err() == nil {
		records, err := s.Store.UnplannedRecords(ctx, p.Name, name, batch)
		if err != nil || len(records) == 0 {
			return err
		}
		if err := atOnce(records, func(r Record) error { return s.planRecord(ctx, p, r, name) }); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		nudge(s.look)
	}
	return nil
}

func (s *Service) planRecord(ctx context.Context, p *plugin.Plugin, r Record, name string) error {
	var all []*Schedule
	for _, declared := range p.Manifest.Schedules {
		q, err := abi.CheckSchedule(declared.Put())
		if err != nil {
			return err
		}
		one, err := s.make(r, q)
		if err != nil {
			return err
		}
		one.FromManifest = true
		all = append(all, one)
	}
	return s.Store.PlanSchedules(ctx, r, name, all)
}

// planOf identifies the schedules of a manifest; "" is none.
func planOf(m *abi.Manifest) string {
	if len(m.Schedules) == 0 {
		return ""
	}
	text, _ := json.Marshal(m.Schedules)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}
