//! A whole detach, in batches of ten lanes: time of a processor, calls, and how soon after the truth its event tells of it.

use std::io;
use std::time::Duration;

use crate::account::{Account, BATCH, Job};
use crate::process::{Process, Program};
use crate::times::{Values, count, digits, milliseconds};

const PROGRAMS: [Program; 2] = [Program::Worker, Program::Peer];

/// How long the detaches of each batch take, in milliseconds: spread, so that no program's polls happen to fit.
const DETACH_TAKES: [u64; 6] = [2000, 2800, 3600, 4400, 5200, 6000];

/// A program at work, and what it needed so far.
struct Side {
    account: Account,
    process: Process,
    /// Of each batch, in milliseconds for each of its detaches.
    processor: Vec<f64>,
    /// Of each detach.
    lags: Vec<Duration>,
}

/// Prints a line for each program.
pub(crate) async fn measure() -> io::Result<()> {
    let mut sides = Vec::new();
    for program in PROGRAMS {
        let account = Account::start().await?;
        let process = Process::start(program, &account).await?;
        sides.push(Side { account, process, processor: Vec::new(), lags: Vec::new() });
        // What only the first batch needs is not counted.
        if let Some(side) = sides.last_mut() {
            side.batch(Duration::from_secs(1)).await?;
            side.processor.clear();
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
    println!("{detaches} detaches of 2 to 6 s by each, in turn, ten lanes a batch. For each detach:\n");
    println!(
        "| | processor, median (middle half of {} batches), ms | calls of Alibaba Cloud: detach, groups, records | calls \
         of AWS | lag, median (middle half), s | longest lag, s |",
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
            Values::new(side.processor.clone()).cell(),
            calls[0],
            calls[1],
            calls[2],
            calls.iter().sum::<f64>(),
            per_detach(aws),
            lags.cell(),
            lags.percentile(100)
        );
    }
    let [worker, peer] = [0, 1].map(|side| Values::new(sides[side].processor.clone()).median());
    println!("\nThe peer needs {} times the worker's time of a processor.", digits(peer / worker));
    Ok(())
}

impl Side {
    /// Ten detaches at once.
    async fn batch(&mut self, takes: Duration) -> io::Result<()> {
        self.account.attach(takes);
        let (payload, batch) = self.account.batch(Job::Detach, BATCH)?;
        self.process.is_idle().await?;
        let before = self.process.processor_time()?;
        let (answer, _) = self.process.invoke(&payload).await?;
        self.process.is_idle().await?;
        let processor = self.process.processor_time()?.saturating_sub(before);
        self.processor.push(milliseconds(processor) / count(BATCH));
        for told in self.account.check_batch(&batch, &answer, "detached")? {
            self.lags.push(self.account.lag(&told)?);
        }
        Ok(())
    }
}
