CREATE TABLE `artifacts` (
	`hash` text PRIMARY KEY NOT NULL,
	`size` integer NOT NULL,
	`media_type` text NOT NULL,
	`created_at` integer NOT NULL
) STRICT;
--> statement-breakpoint
CREATE TABLE `checkpoints` (
	`id` integer PRIMARY KEY NOT NULL,
	`trial_id` text NOT NULL,
	`run_id` integer,
	`step` integer NOT NULL,
	`hash` text NOT NULL,
	`created_at` integer NOT NULL,
	FOREIGN KEY (`trial_id`) REFERENCES `trials`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`run_id`) REFERENCES `runs`(`id`) ON UPDATE no action ON DELETE set null,
	FOREIGN KEY (`hash`) REFERENCES `artifacts`(`hash`) ON UPDATE no action ON DELETE no action
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `checkpoints_by_step` ON `checkpoints` (`trial_id`,`step`);--> statement-breakpoint
CREATE INDEX `checkpoints_by_hash` ON `checkpoints` (`hash`);--> statement-breakpoint
CREATE TABLE `competitors` (
	`id` integer PRIMARY KEY NOT NULL,
	`run_id` integer,
	`name` text,
	`created_at` integer NOT NULL,
	FOREIGN KEY (`run_id`) REFERENCES `runs`(`id`) ON UPDATE no action ON DELETE cascade
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `competitors_run_id_unique` ON `competitors` (`run_id`);--> statement-breakpoint
CREATE UNIQUE INDEX `competitors_name_unique` ON `competitors` (`name`);--> statement-breakpoint
CREATE TABLE `config_paths` (
	`id` integer PRIMARY KEY NOT NULL,
	`path` text NOT NULL
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `config_paths_path_unique` ON `config_paths` (`path`);--> statement-breakpoint
CREATE TABLE `config_values` (
	`trial_row` integer NOT NULL,
	`path_id` integer NOT NULL,
	`value` any,
	PRIMARY KEY(`trial_row`, `path_id`),
	FOREIGN KEY (`trial_row`) REFERENCES `trials`(`row`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`path_id`) REFERENCES `config_paths`(`id`) ON UPDATE no action ON DELETE no action
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `config_values_by_value` ON `config_values` (`path_id`,`value`);--> statement-breakpoint
CREATE TABLE `datasets` (
	`id` integer PRIMARY KEY NOT NULL,
	`name` text NOT NULL
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `datasets_name_unique` ON `datasets` (`name`);--> statement-breakpoint
CREATE TABLE `experiment_trials` (
	`experiment_id` integer NOT NULL,
	`profile` text DEFAULT 'default' NOT NULL,
	`phase` text NOT NULL,
	`arm` text NOT NULL,
	`condition` text DEFAULT '' NOT NULL,
	`trial_id` text NOT NULL,
	`position` integer NOT NULL,
	`point` text DEFAULT '{}' NOT NULL,
	`current` integer DEFAULT 1 NOT NULL,
	PRIMARY KEY(`experiment_id`, `profile`, `phase`, `arm`, `condition`, `trial_id`),
	FOREIGN KEY (`experiment_id`) REFERENCES `experiments`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`trial_id`) REFERENCES `trials`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "experiment_trials_phase" CHECK("phase" IN ('tune', 'compare'))
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `experiment_trials_by_trial` ON `experiment_trials` (`trial_id`);--> statement-breakpoint
CREATE TABLE `experiments` (
	`id` integer PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`question` text,
	`task` text NOT NULL,
	`task_version` integer NOT NULL,
	`compare` text DEFAULT '[]' NOT NULL,
	`baseline` text,
	`spec` text DEFAULT '{}' NOT NULL,
	`file` text,
	`note` text,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`cancel_requested_at` integer,
	`deleted_at` integer
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `experiments_name_unique` ON `experiments` (`name`);--> statement-breakpoint
CREATE TABLE `imports` (
	`id` integer PRIMARY KEY NOT NULL,
	`content_hash` text NOT NULL,
	`source` text NOT NULL,
	`rows` integer DEFAULT 0 NOT NULL,
	`created_at` integer NOT NULL
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `imports_content_hash_unique` ON `imports` (`content_hash`);--> statement-breakpoint
CREATE TABLE `logs` (
	`id` integer PRIMARY KEY NOT NULL,
	`run_id` integer NOT NULL,
	`time` integer NOT NULL,
	`level` text NOT NULL,
	`message` text NOT NULL,
	`fields` text,
	FOREIGN KEY (`run_id`) REFERENCES `runs`(`id`) ON UPDATE no action ON DELETE cascade,
	CONSTRAINT "logs_level" CHECK("level" IN ('debug', 'info', 'warn', 'error', 'stdout', 'stderr'))
) STRICT;
--> statement-breakpoint
CREATE INDEX `logs_by_run` ON `logs` (`run_id`);--> statement-breakpoint
CREATE TABLE `metric_blocks` (
	`run_id` integer NOT NULL,
	`metric_id` integer NOT NULL,
	`block` integer NOT NULL,
	`count` integer NOT NULL,
	`nan_count` integer NOT NULL,
	`first_step` integer NOT NULL,
	`first` real,
	`last_step` integer NOT NULL,
	`last` real,
	`min` real,
	`max` real,
	`sum` real,
	PRIMARY KEY(`run_id`, `metric_id`, `block`)
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `metric_names` (
	`id` integer PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`goal` text,
	`unit` text,
	`description` text,
	CONSTRAINT "metric_names_goal" CHECK("goal" IN ('max', 'min'))
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `metric_names_name_unique` ON `metric_names` (`name`);--> statement-breakpoint
CREATE TABLE `metric_summaries` (
	`run_id` integer NOT NULL,
	`metric_id` integer NOT NULL,
	`count` integer NOT NULL,
	`nan_count` integer NOT NULL,
	`first_step` integer NOT NULL,
	`first` real,
	`last_step` integer NOT NULL,
	`last` real,
	`min` real,
	`max` real,
	`block_shift` integer,
	PRIMARY KEY(`run_id`, `metric_id`),
	FOREIGN KEY (`run_id`) REFERENCES `runs`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`metric_id`) REFERENCES `metric_names`(`id`) ON UPDATE no action ON DELETE no action
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `metrics` (
	`run_id` integer NOT NULL,
	`metric_id` integer NOT NULL,
	`step` integer NOT NULL,
	`value` real,
	`time` integer NOT NULL,
	PRIMARY KEY(`run_id`, `metric_id`, `step`)
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `run_artifacts` (
	`run_id` integer NOT NULL,
	`name` text NOT NULL,
	`hash` text NOT NULL,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`run_id`, `name`),
	FOREIGN KEY (`run_id`) REFERENCES `runs`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`hash`) REFERENCES `artifacts`(`hash`) ON UPDATE no action ON DELETE no action
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `run_artifacts_by_hash` ON `run_artifacts` (`hash`);--> statement-breakpoint
CREATE TABLE `run_stages` (
	`run_id` integer NOT NULL,
	`stage_key` text NOT NULL,
	PRIMARY KEY(`run_id`, `stage_key`),
	FOREIGN KEY (`run_id`) REFERENCES `runs`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`stage_key`) REFERENCES `stages`(`key`) ON UPDATE no action ON DELETE no action
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `run_stages_by_stage` ON `run_stages` (`stage_key`);--> statement-breakpoint
CREATE TABLE `runs` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`trial_id` text NOT NULL,
	`attempt` integer NOT NULL,
	`status` text NOT NULL,
	`name` text,
	`note` text,
	`device` text,
	`host` text,
	`pid` integer,
	`owner` text,
	`created_at` integer NOT NULL,
	`started_at` integer,
	`finished_at` integer,
	`heartbeat_at` integer,
	`lease_expires_at` integer,
	`cancel_requested_at` integer,
	`progress_done` real,
	`progress_total` real,
	`error` text,
	`code_hash` text,
	`git_commit` text,
	`git_dirty` integer,
	`packages` text,
	`environment` text,
	`deleted_at` integer,
	FOREIGN KEY (`trial_id`) REFERENCES `trials`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "runs_status" CHECK("status" IN ('queued', 'running', 'completed', 'failed', 'cancelled', 'interrupted'))
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `runs_by_trial` ON `runs` (`trial_id`,`attempt`);--> statement-breakpoint
CREATE UNIQUE INDEX `runs_one_live_per_trial` ON `runs` (`trial_id`) WHERE status IN ('queued', 'running');--> statement-breakpoint
CREATE INDEX `runs_by_status` ON `runs` (`status`);--> statement-breakpoint
CREATE TABLE `sample_results` (
	`competitor_id` integer NOT NULL,
	`metric_id` integer NOT NULL,
	`sample_id` integer NOT NULL,
	`value` real,
	PRIMARY KEY(`competitor_id`, `metric_id`, `sample_id`)
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `sample_tags` (
	`sample_id` integer NOT NULL,
	`tag` text NOT NULL,
	`value` any,
	PRIMARY KEY(`sample_id`, `tag`),
	FOREIGN KEY (`sample_id`) REFERENCES `samples`(`id`) ON UPDATE no action ON DELETE cascade
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `sample_tags_by_value` ON `sample_tags` (`tag`,`value`);--> statement-breakpoint
CREATE TABLE `samples` (
	`id` integer PRIMARY KEY NOT NULL,
	`dataset_id` integer NOT NULL,
	`key` text NOT NULL,
	`tags` text DEFAULT '{}' NOT NULL,
	`text` text,
	FOREIGN KEY (`dataset_id`) REFERENCES `datasets`(`id`) ON UPDATE no action ON DELETE no action
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `samples_by_key` ON `samples` (`dataset_id`,`key`);--> statement-breakpoint
CREATE TABLE `selections` (
	`experiment_id` integer NOT NULL,
	`profile` text DEFAULT 'default' NOT NULL,
	`arm` text NOT NULL,
	`condition` text DEFAULT '' NOT NULL,
	`metric` text NOT NULL,
	`choice` text NOT NULL,
	`candidates` text NOT NULL,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`experiment_id`, `profile`, `arm`, `condition`),
	FOREIGN KEY (`experiment_id`) REFERENCES `experiments`(`id`) ON UPDATE no action ON DELETE cascade
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `stages` (
	`key` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`version` integer NOT NULL,
	`config` text NOT NULL,
	`status` text NOT NULL,
	`owner` text,
	`lease_expires_at` integer,
	`hash` text,
	`checkpoint_step` integer,
	`checkpoint_hash` text,
	`error` text,
	`started_at` integer NOT NULL,
	`finished_at` integer,
	FOREIGN KEY (`hash`) REFERENCES `artifacts`(`hash`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`checkpoint_hash`) REFERENCES `artifacts`(`hash`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "stages_status" CHECK("status" IN ('running', 'completed', 'failed'))
) STRICT;
--> statement-breakpoint
CREATE TABLE `tags` (
	`kind` text NOT NULL,
	`target` text NOT NULL,
	`tag` text NOT NULL,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`kind`, `target`, `tag`),
	CONSTRAINT "tags_kind" CHECK("kind" IN ('experiment', 'trial', 'run'))
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `tags_by_tag` ON `tags` (`tag`,`kind`);--> statement-breakpoint
CREATE TABLE `trials` (
	`row` integer PRIMARY KEY NOT NULL,
	`id` text NOT NULL,
	`task` text NOT NULL,
	`task_version` integer NOT NULL,
	`config` text NOT NULL,
	`seed` integer NOT NULL,
	`created_at` integer NOT NULL
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `trials_id_unique` ON `trials` (`id`);--> statement-breakpoint
CREATE TABLE `votes` (
	`id` integer PRIMARY KEY NOT NULL,
	`import_id` integer,
	`left_id` integer NOT NULL,
	`right_id` integer NOT NULL,
	`winner` text NOT NULL,
	`tags` text DEFAULT '{}' NOT NULL,
	FOREIGN KEY (`import_id`) REFERENCES `imports`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`left_id`) REFERENCES `competitors`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`right_id`) REFERENCES `competitors`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "votes_winner" CHECK("winner" IN ('left', 'right', 'tie'))
) STRICT;
