//! Complete detaches in batches of ten lanes: CPU time, calls, and the time from each detach to its completion event.

use std::io;
use std::time::Duration;

use crate::account::{Account, BATCH, Job};
use crate::process::{Process, Program};
use crate::times::{Values, count, digits, milliseconds};

const PROGRAMS: [Program; 2] = [Program::Worker, Program::Peer];

/// The time that the detaches of each batch take, in milliseconds. The values vary so that they favor no program's
/// polls.
const DETACH_TAKES: [u64; 6] = [2000, 2800, 3600, 4400, 5200, 6000];

/// A running program and its measurements.
struct Side {
    account: Account,
    process: Process,
    /// CPU time per detach in each batch, in milliseconds.
    cpu: Vec<f64>,
    /// From each detach to its completion event.
    lags: Vec<Duration>,
}

/// Prints a line for each program.
pub(crate) async fn measure() -> io::Result<()> {
    let mut sides = Vec::new();
    for program in PROGRAMS {
        let account = Account::start().await?;
        let process = Process::start(program, &account).await?;
        sides.push(Side { account, process, cpu: Vec::new(), lags: Vec::new() });
        // The first batch is a warm-up.
        if let Some(side) = sides.last_mut() {
            side.batch(Duration::from_secs(1)).await?;
            side.cpu.clear();
            side.lags.clear();
        }
    }
    let before: Vec<_> =
        sides.iter().map(|side| (side.account.alibaba_calls(), side.account.calls().0)).collect();
    for takes in DETACH_TAKES {
        for side in &mut sides {
            side.batch(Duration::from_millis(takes)).await?;
        }
    }
    let detaches = DETACH_TAKES.len() * BATCH;
    let per_detach = |calls| count(calls) / count(detaches);
    println!("{detaches} detaches of 2 to 6 s by each program, in turn, ten lanes per batch. Per detach:\n");
    println!(
        "| | CPU, median (middle half of {} batches), ms | Alibaba Cloud calls: detach, groups, records | AWS \
         calls | lag, median (middle half), s | longest lag, s |",
        DETACH_TAKES.len()
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for (side, (alibaba_before, aws_before)) in sides.iter().zip(before) {
        let after = side.account.alibaba_calls();
        let calls = [0, 1, 2].map(|action| per_detach(after[action] - alibaba_before[action]));
        let aws = side.account.calls().0 - aws_before;
        let lags = Values::new(side.lags.iter().map(Duration::as_secs_f64).collect());
        println!(
            "| {} | {} | {:.1} + {:.1} + {:.1} = {:.1} | {:.1} | {} | {:.2} |",
            side.process.program.name(),
            Values::new(side.cpu.clone()).cell(),
            calls[0],
            calls[1],
            calls[2],
            calls.iter().sum::<f64>(),
            per_detach(aws),
            lags.cell(),
            lags.percentile(100)
        );
    }
    let [worker, peer] = [0, 1].map(|side| Values::new(sides[side].cpu.clone()).median());
    println!("\nThe peer needs {} times the CPU time of the worker.", digits(peer / worker));
    Ok(())
}

impl Side {
    /// Makes and measures one batch of ten detaches.
    async fn batch(&mut self, takes: Duration) -> io::Result<()> {
        self.account.attach(takes);
        let (payload, batch) = self.account.batch(Job::Detach, BATCH)?;
        self.process.is_idle().await?;
        let before = self.process.cpu_time()?;
        let (response, _) = self.process.invoke(&payload).await?;
        self.process.is_idle().await?;
        let cpu = self.process.cpu_time()?.saturating_sub(before);
        self.cpu.push(milliseconds(cpu) / count(BATCH));
        for completion in self.account.check_batch(&batch, &response, "detached")? {
            self.lags.push(self.account.lag(&completion)?);
        }
        Ok(())
    }
}
